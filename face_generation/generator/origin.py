"""Marks pictures as drawn by a network, and says in them how to draw them again.

The mark is XMP, which every format can carry, with the IPTC's term for synthetic media. A PNG has it in its text as
well. A recipe is JSON: the options of `face_generation.inference` by name, and the bundle's name and version.
"""

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from PIL import PngImagePlugin

import face_generation

SOFTWARE = f"face-generation {face_generation.__version__}"
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SYNTHETIC, COMPOSITE = f"{TERMS}trainedAlgorithmicMedia", f"{TERMS}compositeWithTrainedAlgorithmicMedia"
PACKET = """<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:faces="urn:face-generation"
 xmp:CreatorTool="{software}" Iptc4xmpExt:DigitalSourceType="{source}" faces:recipe="{recipe}"/>
</rdf:RDF></x:xmpmeta><?xpacket end="r"?>"""
RECIPE = re.compile(rb'faces:recipe="([^"]*)"')
MOST = 60_000  # bytes that fit into a JPEG
GIF_BLOCK = b"\x21\xff\x0bXMP DataXMP"
GIF_END = b"\x01" + bytes(range(255, -1, -1)) + b"\0"  # leads a reader of blocks from anywhere in a packet to its end

Recipe = Mapping[str, Any]


def packet(recipe: Recipe) -> bytes:
    """The XMP packet for a recipe."""
    text = html.escape(json.dumps(recipe))
    source = COMPOSITE if recipe.get("mode") == "reconstruct" else SYNTHETIC  # that mode shows a photo as well
    return PACKET.format(software=SOFTWARE, source=source, recipe=text).encode()


def options(recipe: Recipe, format: str) -> dict[str, Any]:
    """Pillow's options that write a recipe into a file of a format."""
    xmp = packet(recipe)
    if format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", SOFTWARE)
        text.add_text("Recipe", json.dumps(recipe))
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return {"pnginfo": text}
    return {} if format == "GIF" else {"xmp": xmp}


def in_gif(data: bytes, recipe: Recipe) -> bytes:
    """Adds a recipe's XMP to a GIF, which Pillow cannot do."""
    flags = data[10]
    start = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)  # behind the header and the palette of all frames
    return data[:start] + GIF_BLOCK + packet(recipe) + GIF_END + data[start:]


def read(data: bytes) -> dict[str, Any] | None:
    """Reads the recipe from a picture's file; `None` if it has none. It is not trustworthy, because anybody can write
    it."""
    found = RECIPE.search(data)
    if found is None or len(found[1]) > MOST:
        return None
    try:
        recipe = json.loads(html.unescape(found[1].decode()))
    except (ValueError, RecursionError):
        return None
    return recipe if isinstance(recipe, dict) else None
