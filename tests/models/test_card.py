"""What a card says about an evaluation."""

import shutil
from pathlib import Path

import pytest

from face_generation.evaluation import sheets
from face_generation.generator import Bundle
from face_generation.models.card import write_card

@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    return Bundle.load(shutil.copytree(tiny_bundle, tmp_path / "tiny"))


def test_broken_faces_need_no_other_figure(bundle: Bundle) -> None:
    sheets.record(bundle, 3, 0, 1.0)
    write_card(Bundle.load(bundle.folder))
    card = (bundle.folder / "README.md").read_text(encoding="utf-8")

    assert "| 1 | 3 of 100 | 0.6 to 8.5 % | " in card
    assert "How good its faces are" not in card
