# The service without torch, as an unprivileged user:
#   docker build -t face-generation .
#   docker run --rm -p 8000:8000 face-generation bundles=[vae]
# What follows the image's name are options of configs/serve.yaml.

FROM python:3.11-slim AS build
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /source
# Dependencies come first, because they change seldom: an edit of the code below does not install them again.
COPY packages packages
RUN python -c "import tomllib; \
        project = tomllib.load(open('packages/serve/pyproject.toml', 'rb'))['project']; \
        print(*project['dependencies'], sep='\n')" > dependencies.txt \
    && pip install --no-cache-dir -r dependencies.txt
COPY LICENSE ./
COPY configs configs
COPY face_generation face_generation
RUN pip install --no-cache-dir ./packages/serve && pip uninstall --yes pip setuptools

FROM python:3.11-slim
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
# A number tells Kubernetes that it is not root. Nothing is written, so the root file system may be read-only.
USER 10001:10001
WORKDIR /venv
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=2)"]
# No shell around it: SIGTERM reaches the server, which finishes what is running.
ENTRYPOINT ["python", "-m", "face_generation.serve", "host=0.0.0.0"]
