"""Photos shrunk by the page, in Node, beside Pillow."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RESIZING = Path(__file__).parents[2] / "face_generation" / "serve" / "web" / "resizing.js"
NODE = shutil.which("node")
SHRINK = """
const { square } = await import(process.argv[1]);
const { width, height, pixels, size } = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify([...square({ width, height, pixels: Uint8Array.from(pixels) }, size).pixels]));
"""

pytestmark = pytest.mark.skipif(NODE is None, reason="no Node: apt-get install nodejs")


@pytest.mark.parametrize(("width", "height", "size"), [(97, 60, 25), (60, 97, 60), (40, 40, 64)])
def test_the_square_of_a_photo_is_the_same_as_pillows(width: int, height: int, size: int) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (height, width, 3)).astype(np.uint8)
    order = json.dumps({"width": width, "height": height, "pixels": pixels.ravel().tolist(), "size": size})
    command = [NODE, "--input-type=module", "--eval", SHRINK, RESIZING.as_uri()]
    shrunk = json.loads(subprocess.run(command, input=order, capture_output=True, text=True, check=True).stdout)

    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    expected = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC, box=box)
    assert np.array_equal(np.reshape(shrunk, (size, size, 3)), expected)
