"""Evaluations of bundles, checkpoints and folders of images, on synthetic faces."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from face_generation.evaluate import __main__ as evaluate
from face_generation.evaluate.candidates import find
from face_generation.generator import Bundle
from face_generation.metrics.registry import METRICS
from face_generation.models import checkpoint
from face_generation.tracking import Run

N = 10  # samples
OFFLINE = {"fid", "kid", "lpips"}  # need weights that are fetched
FEW = {"copies"}  # needs 100 held-out faces
RECONSTRUCTION = {"psnr", "ssim", "lpips", "face_distance"}
Command = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Face embeddings that the tests share, because they take the most time."""
    return tmp_path_factory.mktemp("embeddings")


@pytest.fixture
def run(
    tmp_path: Path,
    cache: Path,
    synthetic_splits: Path,
    offline: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Runs the command in this process and an empty folder, and returns what it prints, on stdout and stderr."""
    folder = tmp_path / "here"
    (folder / "outputs").mkdir(parents=True)
    (folder / "outputs/embeddings").symlink_to(cache)
    monkeypatch.chdir(folder)

    def run(*options: str) -> tuple[str, str]:
        given = {option.partition("=")[0] for option in options}
        defaults = {"samples": f"samples={N}", "splits": f"splits={synthetic_splits}"}
        rest = [option for name, option in defaults.items() if name not in given]
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *rest, *options])
        evaluate.main()
        return capsys.readouterr()

    return run


@pytest.fixture
def mistake(run: Command, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command, which must fail with status 2 and one line, and returns that line."""

    def mistake(*options: str) -> str:
        with pytest.raises(SystemExit) as stop:
            run(*options)
        printed = capsys.readouterr()
        assert stop.value.code == 2
        assert printed.out == ""
        last = printed.err.splitlines()[-1]
        assert last.startswith("error: ")
        return last.removeprefix("error: ")

    return mistake


def metrics(folder: str) -> dict[str, dict[str, float]]:
    return json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))


def measured(figures: dict[str, float]) -> set[str]:
    return {key for key in figures if not key.endswith(("_low", "_high"))}


def save(images: np.ndarray, folder: Path, suffix: str = "png") -> Path:
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:03}.{suffix}")
    return folder


def test_a_bundle(run: Command, tiny_bundle: Path) -> None:
    printed, _ = run(f"bundle={tiny_bundle}")
    first = metrics("outputs/evaluate/tiny")

    assert list(first) == ["tiny", "real"]
    assert measured(first["tiny"]) == METRICS.keys() - OFFLINE - FEW
    assert measured(first["real"]) == METRICS.keys() - OFFLINE - FEW - RECONSTRUCTION
    for figures in first.values():
        for key in measured(figures):
            assert figures[f"{key}_low"] <= figures[f"{key}_high"]
    for key in ("sharpness", "face_diversity", "nearest_train"):
        assert first["real"][key] == pytest.approx(1, abs=0.5)  # of a few other faces from the same source

    lines = printed.splitlines()
    assert lines[0].split() == ["tiny", "real"]
    assert any(re.match(r"PSNR, dB ↑ +\d+\.\d+ \[.+\] +–$", line) for line in lines)
    missing = [line for line in lines if line.startswith("missing: ")]
    assert [line.partition(" (")[0] for line in missing] == [
        "missing: FID, KID ×1000",
        "missing: LPIPS",
        "missing: Copies",  # of the model, and, beside half as many faces, of real ones
        "missing: Copies",
    ]
    assert "inception_weights=" in missing[0]
    assert "nothing is logged to MLflow" in printed
    assert lines[-1].startswith("outputs/evaluate/tiny/report.html: ")
    assert Path("outputs/evaluate/tiny/report.html").stat().st_size < 5e6
    with Image.open("outputs/evaluate/tiny/sheets/tiny_truncation_1.jpg") as sheet:
        assert sheet.size == (1518, 1698)

    # Again, the same byte for byte, and into the bundle's manifest and card.
    mine = shutil.copytree(tiny_bundle, "tiny-copy")
    said, _ = run("bundle=tiny-copy", "broken=7")
    assert said == "tiny: 7 of 100 faces at truncation 1 are broken, 2.9 to 13.9 % of all; recorded in tiny-copy\n"
    run("bundle=tiny-copy", "output=again", "card=true")
    for name in ("metrics.json", "figures.csv", "nearest.csv"):
        assert (Path("outputs/evaluate/tiny") / name).read_bytes() == (Path("again") / name).read_bytes()
    evaluation = Bundle.load(mine).evaluation
    assert {key: figure["value"] for key, figure in evaluation["figures"].items()} == {
        key: first["tiny"][key] for key in measured(first["tiny"])
    }
    assert evaluation["real"]["swd"]["high"] == first["real"]["swd_high"]
    card = Path(mine, "README.md").read_text(encoding="utf-8")
    assert re.search(r"^\| PSNR, dB \| \d+\.\d+ \(.+ to .+\) \| – \| higher is better \|$", card, re.MULTILINE)
    assert "python -m face_generation.evaluate samples=10" in card
    assert "| 1 | 7 of 100 | 2.9 to 13.9 % | " in card


def test_real_faces_in_a_folder_get_what_real_faces_must(run: Command, synthetic_splits: Path, tmp_path: Path) -> None:
    held_out = np.concatenate([np.load(synthetic_splits / f"{name}.npy") for name in ("val", "test")])
    train = np.load(synthetic_splits / "train.npy")[:N]
    same, copied = save(held_out, tmp_path / "same"), save(train, tmp_path / "copied")
    printed, _ = run(f"bundle=[{same},{copied}]", "samples=1000", "reference=[val,test]")
    figures = metrics("outputs/evaluate/same_vs_copied")

    assert list(figures) == ["same", "copied", "real"]
    assert figures["same"]["face_frechet"] == pytest.approx(0, abs=1e-6)
    for key in ("face_frechet", "swd"):
        assert figures["same"][key] < figures["copied"][key]
    for key in ("precision", "recall", "sharpness", "face_diversity", "nearest_train"):
        assert figures["same"][key] == pytest.approx(1)
    assert figures["same"]["detection_rate"] == figures["real"]["detection_rate"]
    assert figures["copied"]["nearest_train"] == 0
    assert "PSNR, dB, SSIM, LPIPS, Face distance (same, copied): " in printed


def test_a_model_that_draws_one_face_is_found_out(run: Command, synthetic_splits: Path, tmp_path: Path) -> None:
    face = np.load(synthetic_splits / "train.npy")[0]
    noisy = np.clip(face + np.random.default_rng(0).normal(0, 2, (N, *face.shape)), 0, 255).astype(np.uint8)
    run(f"bundle={save(noisy, tmp_path / 'collapsed')}")
    figures = metrics("outputs/evaluate/collapsed")

    assert figures["collapsed"]["ms_ssim"] > 0.95 > figures["real"]["ms_ssim"]
    assert figures["collapsed"]["face_diversity"] < 0.3
    assert figures["collapsed"]["recall"] == 0
    assert figures["collapsed"]["nearest_train"] < 0.3


def test_too_few_samples_leave_gaps(run: Command, tiny_bundle: Path) -> None:
    printed, _ = run(f"bundle={tiny_bundle}", "samples=1", "reference=val")

    assert metrics("outputs/evaluate/tiny") == {"tiny": {}, "real": {}}
    assert "this metric needs at least 8 images, and there are 1; give more" in printed
    assert Path("outputs/evaluate/tiny/report.html").exists()


def test_one_bundle_twice_has_two_labels_and_one_truth(run: Command, tiny_bundle: Path) -> None:
    run(f"bundle=[{tiny_bundle},{tiny_bundle}]", "output=twice", "seed=7")
    figures = metrics("twice")

    assert list(figures) == ["tiny", "tiny-2", "real"]
    assert figures["tiny"] == figures["tiny-2"]
    assert figures["tiny"] != figures["real"]
    with open("twice/figures.csv", newline="", encoding="utf-8") as file:
        rows = {row.pop("model"): row for row in csv.DictReader(file)}
    assert rows.keys() == figures.keys()
    assert float(rows["tiny"]["swd"]) == figures["tiny"]["swd"]
    assert rows["real"]["psnr"] == ""
    with open("twice/nearest.csv", newline="", encoding="utf-8") as file:
        curves = list(csv.DictReader(file))
    assert list(curves[0]) == ["share", "tiny", "tiny-2", "real"]
    median = curves[50]
    assert median["share"] == "0.5"
    assert float(median["tiny"]) / float(median["real"]) == pytest.approx(figures["tiny"]["nearest_train"], abs=1e-3)


def test_a_checkpoint_is_measured_as_the_bundle_that_it_exports(
    run: Command, provenance: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    described = provenance("vae")
    path = tmp_path / "run/checkpoints/final.ckpt"
    path.parent.mkdir(parents=True)
    checkpoint.save(path, checkpoint.build(described), described)
    run(f"bundle={path}", "output=checkpoint", "samples=4")

    assert "psnr" in metrics("checkpoint")["small"]


def test_figures_and_report_go_to_the_run_that_made_the_model(
    run: Command, tiny_bundle: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three bundles: one in a store, one whose record leads to a server that is down, one to a store that is gone."""
    uri = f"sqlite:///{shutil.copy(empty_store, Path.cwd())}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client = MlflowClient(uri)
    experiment = client.create_experiment("face-generation", Path("mlruns").absolute().as_uri())
    run_id = client.create_run(experiment).info.run_id
    client.log_artifacts(run_id, str(tiny_bundle), "bundle")
    client.create_registered_model("tiny")
    client.create_model_version("tiny", f"{client.get_run(run_id).info.artifact_uri}/bundle", run_id)
    client.set_registered_model_alias("tiny", "best", "1")
    for name, recorded in {"down": "http://127.0.0.1:9", "gone": "sqlite:///gone.db"}.items():
        shutil.copytree(tiny_bundle, f"{name}/bundle")
        Path(name, "mlflow_run.json").write_text(json.dumps({"sqlite:///earlier.db": "a", recorded: "b"}))

    assert [
        candidate.run for candidate in find([f"runs:/{run_id}/bundle", "models:/tiny@best"], tmp_path, Path("splits"))
    ] == [Run(uri, run_id)] * 2
    out, err = run("bundle=[models:/tiny/1,down/bundle,gone/bundle]", "output=out", "samples=4")
    assert f"tiny: figures and report are logged to MLflow run {run_id} at {uri}\n" in out
    stored = client.get_run(run_id).data.metrics
    figures = metrics("out")["tiny"]
    assert stored.keys() == {f"evaluation/{key}" for key in measured(figures)}
    assert stored["evaluation/swd"] == pytest.approx(figures["swd"], rel=1e-5)
    assert [file.path for file in client.list_artifacts(run_id, "evaluation")] == ["evaluation/report.html"]

    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2
    assert re.search(
        r"MLflow at http://127.0.0.1:9 did not take the figures for run b \(.+\); start the server", warnings[0]
    )
    assert "there is no gone.db here" in warnings[1]
    assert not Path("gone.db").exists()
    assert Path("out/report.html").exists()


def test_a_shipped_name_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(np.zeros((1, 150, 150, 3), dtype=np.uint8), Path("vae"))

    [by_name, by_path] = find(["vae", "./vae"], tmp_path, Path("splits"))

    assert by_name.generator
    assert by_path.files


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["bundle=nobody"], "no bundle 'nobody'"),
        (["bundle=[]"], "there is nothing to evaluate; give a bundle"),
        (["bundle=nothing.ckpt"], "no checkpoint at nothing.ckpt"),
        (["bundle=empty"], "the folder empty has neither bundle.json nor images"),
        (["bundle=grey"], "grey/a.png is an image of 150×150 pixels in mode L, not of 150×150 in RGB"),
        (["bundle=small"], "small/a.jpg is an image of 64×64 pixels in mode RGB, not of 150×150 in RGB"),
        (["bundle=broken"], "broken/a.png is a damaged image"),
        (["bundle=text"], "text/a.webp is not an image; remove it"),
        (["bundle=huge"], "huge/a.png is a damaged image, or too large (Image size (400000000 pixels) exceeds"),
        (["bundle=fine", "card=true"], "card=true writes into bundles, by name or folder, and fine is not one"),
        (["bundle=fine", "broken=3"], "broken=… writes into bundles, by name or folder, and fine is not one"),
        (["bundle=[fine,fine]", "broken=3"], "broken=… counts the faces of one bundle; give one at a time"),
        (["broken=101"], "broken=101; give how many of the 100 faces of a sheet are broken, 0 to 100"),
        (["truncation=-1"], "the truncation must be a number from 0 to 10, not -1"),
        (["samples=0"], "the number of images must be a whole number from 1 on, not 0"),
        (["seed=-1"], "the seed must be a whole number"),
        (["reference=[faces]"], "reference=['faces']; give the splits to compare with: train, or val and test"),
        (["splits=nowhere"], "nowhere/train.npy is missing; make the splits with"),
        (["inception_weights=nowhere.pth"], "inception_weights=nowhere.pth"),
        (["output=file/out"], "cannot make the folder file/out (Not a directory); choose another output"),
        (["sample=3"], "Could not override 'sample'"),
    ],
)
def test_mistakes(mistake: Callable[..., str], tiny_bundle: Path, options: list[str], message: str) -> None:
    face = Image.effect_noise((150, 150), 50).convert("RGB")
    for name in ("empty", "fine", "grey", "small", "broken", "text", "huge"):
        Path(name).mkdir()
    face.convert("L").save("grey/a.png")
    face.save("fine/a.png")
    face.resize((64, 64)).save("small/a.jpg")
    face.save("broken/a.png")
    whole = Path("broken/a.png").read_bytes()
    Path("broken/a.png").write_bytes(whole[: len(whole) // 2])
    Path("text/a.webp").write_text("a face")
    Path("huge/a.png").write_bytes(b"P6 20000 20000 255\n")
    Path("empty/.hidden.png").write_bytes(whole)
    Path("empty/notes.txt").write_text("none")
    Path("file").write_text("mine")

    named = {option.partition("=")[0] for option in options}
    assert message in mistake(*options, *([] if "bundle" in named else [f"bundle={tiny_bundle}"]))
    assert not list(Path().rglob("metrics.json"))


def test_help_names_every_option() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "face_generation.evaluate", "--help"], capture_output=True, text=True, check=True
    )

    assert "python -m face_generation.evaluate bundle=[vae,dcgan]" in done.stdout
    for (
        option
    ) in "bundle samples seed truncation splits reference inception_weights output card broken tracking_uri".split():
        assert re.search(rf"^  {option}: .+ # .+$", done.stdout, re.MULTILINE)
