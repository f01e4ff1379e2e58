"""Pictures say what they are: that a network drew them, and how to draw them again.

They do so in XMP, which every format can carry, with the IPTC's mark for synthetic media; PNG says it in its text, too.
A recipe is what was asked for, as JSON: options of `face_generation.inference` by name, and the bundle's name and
version.
"""

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from PIL import PngImagePlugin

import face_generation

SOFTWARE = f"face-generation {face_generation.__version__}"
SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PACKET = """<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:faces="urn:face-generation"
 xmp:CreatorTool="{software}" Iptc4xmpExt:DigitalSourceType="{synthetic}" faces:recipe="{recipe}"/>
</rdf:RDF></x:xmpmeta><?xpacket end="r"?>"""
RECIPE = re.compile(rb'faces:recipe="([^"]*)"')
MOST = 60_000  # bytes, which is what fits into a JPEG
GIF_BLOCK = b"\x21\xff\x0bXMP DataXMP"
GIF_END = b"\x01" + bytes(range(255, -1, -1)) + b"\0"  # takes readers of blocks from anywhere in a packet to its end

Recipe = Mapping[str, Any]


def packet(recipe: Recipe) -> bytes:
    """The XMP of a picture that was drawn by a recipe."""
    said = html.escape(json.dumps(recipe))
    return PACKET.format(software=SOFTWARE, synthetic=SYNTHETIC, recipe=said).encode()


def options(recipe: Recipe, format: str) -> dict[str, Any]:
    """What Pillow is to write into a file of a format, in its words."""
    xmp = packet(recipe)
    if format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", SOFTWARE)
        text.add_text("Recipe", json.dumps(recipe))
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return {"pnginfo": text}
    return {} if format == "GIF" else {"xmp": xmp}


def in_gif(data: bytes, recipe: Recipe) -> bytes:
    """A GIF with its XMP, which Pillow does not write."""
    flags = data[10]
    start = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)  # behind the header and the palette of all frames
    return data[:start] + GIF_BLOCK + packet(recipe) + GIF_END + data[start:]


def read(data: bytes) -> dict[str, Any] | None:
    """The recipe that a picture's file says it was drawn by; `None` where it says none. Anybody may have written it."""
    found = RECIPE.search(data)
    if found is None or len(found[1]) > MOST:
        return None
    try:
        recipe = json.loads(html.unescape(found[1].decode()))
    except (ValueError, RecursionError):
        return None
    return recipe if isinstance(recipe, dict) else None
