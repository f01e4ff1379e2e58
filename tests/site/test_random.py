"""The page's random numbers, in Node, beside NumPy's."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

RANDOM = Path(__file__).parents[2] / "face_generation" / "serve" / "web" / "random.js"
NODE = shutil.which("node")
DRAW = """
const { RandomState } = await import(process.argv[1]);
const { seeds, count, below } = JSON.parse(process.argv[2]);
const drawn = seeds.map((seed) => {
  const random = new RandomState(seed);
  const normal = [...new Uint32Array(random.standardNormal(count).buffer)];
  return { normal, whole: below.map((limit) => random.randint(limit)) };
});
console.log(JSON.stringify(drawn));
"""

pytestmark = pytest.mark.skipif(NODE is None, reason="no Node: apt-get install nodejs")


def test_a_seed_draws_the_same_numbers_as_in_numpy() -> None:
    seeds = [0, 1, 42, 20240229, 2**31, 2**32 - 1]
    below = [1, 2, 7, 162_770, 2**31 + 5, 2**32]
    for count in (1, 500, 2001):  # an odd number leaves the second of a pair, and 2001 need another twist
        order = json.dumps({"seeds": seeds, "count": count, "below": below})
        command = [NODE, "--input-type=module", "--eval", DRAW, RANDOM.as_uri(), order]
        drawn = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

        for seed, numbers in zip(seeds, drawn, strict=True):
            random = np.random.RandomState(seed)
            normal = random.standard_normal(count).astype(np.float32)
            assert normal.view(np.uint32).tolist() == numbers["normal"]
            assert [random.randint(limit) for limit in below] == numbers["whole"]
