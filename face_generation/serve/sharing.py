"""Links to a face that show its picture where they are posted.

The page keeps its state behind a #, which no server sees. A link to /share/… has the same options in its path and
query. It leads to a small page with Open Graph tags, for sites that make previews, which forwards browsers to the face.
The preview is larger than the face that the model draws, because many sites ignore pictures below 200 pixels.
"""

from html import escape
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import APIRouter, Request, Response

from face_generation.serve.api import BundleName, SeedPath, asked_by_query, caching, one_face, service_of
from face_generation.serve.documents import is_current
from face_generation.serve.responses import MEDIA_TYPES

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<link rel="icon" type="image/svg+xml" href="../../static/favicon.svg">
<meta property="og:type" content="website">
<meta property="og:site_name" content="Faces of no one">
<meta property="og:title" content="{title}">
<meta property="og:description" content="A neural network has drawn this face. Nobody looks like this.">
<meta property="og:image" content="{picture}">
<meta property="og:image:type" content="{type}">
<meta property="og:image:width" content="{size}">
<meta property="og:image:height" content="{size}">
<meta name="twitter:card" content="summary">
<meta http-equiv="refresh" content="0; url={page}">
<p><a href="{page}">{title}</a></p>
</html>
"""

SIDE = 600  # pixels of a preview
SUFFIX = "jpg"
SHORT = {"truncation": "t", "version": "v"}  # names of API options in the page's addresses

router = APIRouter(include_in_schema=False)


@router.get("/share/{bundle}/{seed}")
async def share(request: Request, bundle: BundleName, seed: SeedPath) -> Response:
    """A page that stands for a face. It takes the options of the API. The face's page reports wrong ones."""
    about = service_of(request).served(bundle).about
    options = parse_qsl(request.scope["query_string"].decode("latin-1"))
    for_picture = [(name, value) for name, value in options if name != "version"]  # pictures are of the current one
    for_page = [(SHORT.get(name, name), value) for name, value in options]
    root = f"{request.url.scheme}://{request.url.netloc}{request.scope['root_path']}"
    values = {
        "title": f"Face {seed} · {about.model} · Faces of no one",
        "picture": f"{root}/api/v1/{quote(bundle)}/previews/{seed}.{SUFFIX}{query(for_picture)}",
        "type": MEDIA_TYPES[SUFFIX],
        "page": f"{root}/#{quote(bundle)}/{seed}{query(for_page)}",
        "size": str(SIDE),
    }
    content = PAGE.format(**{name: escape(value) for name, value in values.items()})
    return Response(content, headers={"cache-control": "no-cache"}, media_type="text/html")


@router.get(f"/api/v1/{{bundle}}/previews/{{seed}}.{SUFFIX}")
async def preview(request: Request, bundle: BundleName, seed: SeedPath) -> Response:
    """Draws the face of a seed in the size of a preview. It takes the options of the API."""
    service = service_of(request)
    served = service.served(bundle)
    wanted = asked_by_query(request, served, seed)
    headers = caching(service, served, wanted, f"{SIDE}.{SUFFIX}")
    if is_current(request, headers["etag"]):
        return Response(status_code=304, headers=headers)
    picture = await one_face(request, served, wanted, SUFFIX, side=SIDE)
    return Response(picture, headers=headers, media_type=MEDIA_TYPES[SUFFIX])


def query(options: list[tuple[str, str]]) -> str:
    return f"?{urlencode(options, safe=',')}" if options else ""
