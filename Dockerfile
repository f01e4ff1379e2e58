# The service without torch, as an unprivileged user:
#   docker build -t face-generation .
#   docker run --rm -p 8000:8000 face-generation bundles=[vae]
# Options of configs/serve.yaml follow the image's name.

# The base is pinned, so that the same sources make the same image. Dependabot proposes newer ones.
FROM python:3.11.16-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7 AS build
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /source
COPY LICENSE poetry.lock ./
COPY packages packages
COPY configs configs
COPY face_generation face_generation
# The versions are those of the lock file. The cache keeps downloads for the next build.
RUN --mount=type=cache,target=/root/.cache/pip \
    python packages/serve/locked.py > locked.txt \
    && pip install --constraint=locked.txt ./packages/serve && pip uninstall --yes pip setuptools

FROM python:3.11.16-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
# The user is a number, so that Kubernetes knows that it is not root. Nothing is written, so the root file system may be
# read-only.
USER 10001:10001
WORKDIR /venv
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=2)"]
# There is no shell around the server, so SIGTERM reaches it, and it finishes its requests.
ENTRYPOINT ["python", "-m", "face_generation.serve", "host=0.0.0.0"]
