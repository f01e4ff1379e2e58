"""Sheets of faces for the eye, and the record of what was counted on them."""

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from face_generation.errors import UserError
from face_generation.evaluate import sheets
from face_generation.generator import Bundle, Generator


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    return Bundle.load(shutil.copytree(tiny_bundle, tmp_path / "tiny"))


def test_a_sheet_has_a_hundred_new_faces_above_numbers(bundle: Bundle) -> None:
    generator = Generator(bundle)
    sheet, _ = sheets.draw(generator, seed=5, truncation=0.8)  # the other one is at the default of bundles, 1

    assert (sheet.seed, sheet.truncation) == (4_000_000_005, 0.8)
    height, width = 150 + 18, 150
    assert sheet.picture.shape == (10 * (height + 2) - 2, 10 * (width + 2) - 2, 3)
    faces = generator.sample(100, 4_000_000_005, truncation=0.8)
    numbers = []
    for number, face in enumerate(faces):
        top, left = number // 10 * (height + 2), number % 10 * (width + 2)
        np.testing.assert_array_equal(sheet.picture[top : top + 150, left : left + width], face)
        numbers.append(sheet.picture[top + 150 : top + height, left : left + width].tobytes())
    assert len(set(numbers)) == 100
    assert min(np.frombuffer(number, np.uint8).min() for number in numbers) < 64  # something is written there


def test_the_default_truncation_of_a_bundle_has_a_sheet_too(bundle: Bundle) -> None:
    generator = Generator(replace(bundle, truncation=0.7))

    assert [sheet.truncation for sheet in sheets.draw(generator, 0, 1.0)] == [1.0, 0.7]
    assert [sheet.truncation for sheet in sheets.draw(generator, 0, 0.7)] == [0.7]


def test_counts_are_recorded_by_sheet(bundle: Bundle) -> None:
    bundle.record({"figures": {"swd": {"value": 1.0}}})
    for broken, seed, truncation in ((9, 0, 1.0), (2, 0, 0.7), (7, 0, 1.0), (5, 100, 1.0)):
        bundle = Bundle.load(bundle.folder)
        count = sheets.record(bundle, broken, seed, truncation)
    evaluation = Bundle.load(bundle.folder).evaluation

    assert evaluation["figures"] == {"swd": {"value": 1.0}}
    counts = evaluation["broken"]
    assert [(each["truncation"], each["seed"] - 4_000_000_000, each["broken"]) for each in counts] == [
        (0.7, 0, 2),
        (1.0, 0, 7),  # and no longer 9
        (1.0, 100, 5),
    ]
    assert counts[2] == count
    assert (count["of"], count["share"], count["date"]) == (100, 0.05, date.today().isoformat())
    assert (count["low"], count["high"]) == (0.0164, 0.1128)  # of Clopper & Pearson's tables


@pytest.mark.parametrize("broken", [-1, 101, 2.5, True, "many"])
def test_what_is_no_count_is_a_user_error(bundle: Bundle, broken: int) -> None:
    with pytest.raises(UserError, match="give how many of the 100 faces of a sheet are broken, 0 to 100"):
        sheets.record(bundle, broken, 0, 1.0)

    assert Bundle.load(bundle.folder).evaluation == {}
