"""What a card says about an evaluation."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from face_generation.evaluate import sheets
from face_generation.export.card import write_card
from face_generation.generator import Bundle

FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6}


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    return Bundle.load(shutil.copytree(tiny_bundle, tmp_path / "tiny"))


def card_of(bundle: Bundle, losses: list[str] | None) -> str:
    training = {"data": "none"} if losses is None else {"data": "none", "losses": losses}
    keys = ("name", "latent_shape", "image_size", "metrics", "licence")
    bundle = Bundle.write(bundle.folder, training=training, **{key: getattr(bundle, key) for key in keys})
    figures = {key: FIGURE for key in ("lpips", "psnr", "two_sample_auc")}
    write_card(bundle.record({"command": "…", "comparison": "Some.", "figures": figures, "real": {}}))
    return (bundle.folder / "README.md").read_text(encoding="utf-8")


def test_figures_that_were_losses_are_named(bundle: Bundle) -> None:
    card = card_of(bundle, ["pixels", "likelihood", "AlexNet"])

    assert "| LPIPS | 0.5 (0.4 to 0.6) | – | lower is better |" in card
    assert "Figures that were also losses in training, and are no independent evidence: PSNR, dB; LPIPS. " in card
    assert "The losses were: pixels, likelihood, AlexNet." in card


def test_a_card_says_if_no_figure_or_an_unknown_one_was_a_loss(bundle: Bundle) -> None:
    assert "are no independent evidence: none. The losses were: EfficientNet-Lite0." in card_of(
        bundle, ["EfficientNet-Lite0"]
    )
    assert "The manifest does not say which of these figures were also losses in training." in card_of(bundle, None)


@pytest.mark.parametrize(
    ("training", "code"),
    [
        ({"version": "0.1.0", "git_commit": "0123abc"}, "version 0.1.0, commit 0123abc"),
        ({"version": "0.1.0", "git_commit": None}, "version 0.1.0"),
        ({}, "unknown"),
    ],
)
def test_a_card_says_which_code_trained_the_model(bundle: Bundle, training: dict[str, str | None], code: str) -> None:
    write_card(replace(bundle, training=training))

    assert f"Code: {code}; the whole" in (bundle.folder / "README.md").read_text(encoding="utf-8")


def test_broken_faces_need_no_other_figure(bundle: Bundle) -> None:
    sheets.record(bundle, 3, 0, 1.0)
    write_card(Bundle.load(bundle.folder))
    card = (bundle.folder / "README.md").read_text(encoding="utf-8")

    assert "| 1 | 3 of 100 | 0.6 to 8.5 % | " in card
    assert "How good its faces are" not in card


def test_attributes_that_can_be_asked_for_stand_beside_photos(told_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(shutil.copytree(told_bundle, tmp_path / "told"))
    smiling, *others = bundle.attributes
    bundle.offer([{**smiling, "found_in_photos": {"value": 0.95, "low": 0.9, "high": 0.99}}, *others])
    write_card(Bundle.load(bundle.folder))
    card = (bundle.folder / "README.md").read_text(encoding="utf-8")

    assert "3 of 4 attributes are offered." in card
    assert "| smiling | 0.9 (0.8 to 1) | 0.95 (0.9 to 0.99) | yes |" in card
    assert "| eyeglasses |" not in card
