import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image

from face_generation.errors import UserError
from face_generation.generator import Bundle
from face_generation.generator.bundle import SHIPPED, shipped


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))


def edit(bundle: Path, **changes: object) -> None:
    manifest = bundle / "bundle.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))


def test_load_finds_what_write_wrote(bundle: Path) -> None:
    written = Bundle.write(
        bundle,
        name="mine",
        latent_shape=[2, 2, 2],
        image_size=150,
        truncation=0.8,
        sampler={"steps": 4, "guidance": 2.0},
        training={"config": {"lr": 1e-3}, "git_commit": "0123abc"},
        metrics={"psnr": 21.5},
        licence="research only",
    )

    assert Bundle.load(bundle) == written
    assert written.files.keys() == {"decoder.onnx", "encoder.onnx", "directions.json"}
    assert written.has_encoder
    assert not written.has_prior
    assert written.latent_dim == 8


def test_folder_in_the_home_directory(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(bundle.parent))

    assert Bundle.load("~/tiny").name == "tiny"


def test_card_may_be_edited_and_pictures_may_not(bundle: Path) -> None:
    Image.new("RGB", (8, 8)).save(bundle / "preview.jpg")
    (bundle / "README.md").write_text("A card.")
    about = json.loads((bundle / "bundle.json").read_text())
    del about["files"], about["format_version"]
    Bundle.write(bundle, **about)

    (bundle / "README.md").write_text("A better card.")
    assert Bundle.load(bundle).name == "tiny"

    Image.new("RGB", (9, 9)).save(bundle / "preview.jpg")
    with pytest.raises(UserError, match=r"preview\.jpg does not match its sha256"):
        Bundle.load(bundle)


def test_an_evaluation_is_kept_beside_the_rest(bundle: Path) -> None:
    before = Bundle.load(bundle)
    figure = {"value": 0.9, "low": 0.8, "high": 1.0}
    evaluation = {"command": "evaluate", "comparison": "", "figures": {"precision": figure}, "real": {}}

    before.record(evaluation)

    after = Bundle.load(bundle)
    assert after.evaluation == evaluation
    assert (after.files, after.metrics, after.training) == (before.files, before.metrics, before.training)
    assert before.evaluation == {}


def test_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(UserError, match="no bundle 'nobody'") as error:
        Bundle.load("nobody")
    assert all(name in str(error.value) for name in shipped())


def test_folder_without_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no bundle\.json"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("name", ["decoder.onnx", "encoder.onnx"])
def test_missing_file(bundle: Path, name: str) -> None:
    (bundle / name).unlink()

    with pytest.raises(UserError, match=f"has no {name}; fetch or export"):
        Bundle.load(bundle)


@pytest.mark.parametrize("name", ["decoder.onnx", "encoder.onnx"])
def test_changed_file(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[-1] ^= 1
    (bundle / name).write_bytes(content)

    with pytest.raises(UserError, match=f"{name} does not match its sha256"):
        Bundle.load(bundle)


@pytest.mark.parametrize(("version", "remedy"), [(3, "update the package"), (1, "export it again")])
def test_another_format(bundle: Path, version: int, remedy: str) -> None:
    edit(bundle, format_version=version, files="of another kind")

    with pytest.raises(UserError, match=f"format version {version}, and this package reads 2; {remedy}"):
        Bundle.load(bundle)


@pytest.mark.parametrize("text", ["", "{", "\x00\x01"])
def test_manifest_that_is_not_json(bundle: Path, text: str) -> None:
    (bundle / "bundle.json").write_text(text)

    with pytest.raises(UserError, match=r"bundle\.json is not JSON") as error:
        Bundle.load(bundle)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"format_version": "1"}'])
def test_manifest_that_is_something_else(bundle: Path, text: str) -> None:
    (bundle / "bundle.json").write_text(text)

    with pytest.raises(UserError, match="has no format_version"):
        Bundle.load(bundle)


@pytest.mark.parametrize(
    "key",
    ["name", "latent_shape", "image_size", "truncation", "attributes", "files", "training", "metrics", "licence"],
)
@pytest.mark.parametrize("value", [None, ["1"]])
def test_manifest_with_a_key_of_the_wrong_kind(bundle: Path, key: str, value: object) -> None:
    edit(bundle, **{key: value})

    with pytest.raises(UserError, match=f"has no valid '{key}'"):
        Bundle.load(bundle)


def test_a_name_that_a_terminal_would_obey_is_refused(bundle: Path) -> None:
    edit(bundle, name="tiny\x1b[2J")

    with pytest.raises(UserError, match="has no valid 'name'"):
        Bundle.load(bundle)


def test_attributes_and_their_file_come_together(told_bundle: Path, bundle: Path, tmp_path: Path) -> None:
    edit(bundle, attributes=[{"name": "smiling", "offered": True}])
    told = shutil.copytree(told_bundle, tmp_path / "told")
    edit(told, attributes=[])

    for folder in (bundle, told):
        with pytest.raises(UserError, match="attributes and attributes.npz without each other"):
            Bundle.load(folder)


def test_manifest_without_decoder(bundle: Path) -> None:
    edit(bundle, files={})

    with pytest.raises(UserError, match=r"lists no decoder\.onnx"):
        Bundle.load(bundle)


def test_vae_is_shipped() -> None:
    assert "vae" in shipped()
    assert sum(path.stat().st_size for path in (SHIPPED / "vae").iterdir()) < 32_000_000


@pytest.mark.parametrize("name", shipped())
def test_shipped_bundle_is_whole(name: str) -> None:
    bundle = Bundle.load(name)

    assert bundle.name == name
    assert bundle.image_size == 150
    assert bundle.licence
    assert "preview.jpg" in bundle.files
    assert (bundle.folder / "README.md").is_file()


def test_bundle_from_mlflow(bundle: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    store.mkdir()
    shutil.copy(empty_store, store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
    client = MlflowClient()
    experiment = client.create_experiment("faces", artifact_location=(store / "artifacts").as_uri())
    run = client.create_run(experiment).info.run_id
    client.log_artifacts(run, str(bundle), "bundle")
    client.create_registered_model("faces")
    client.create_model_version("faces", f"runs:/{run}/bundle", run)
    client.set_registered_model_alias("faces", "best", "1")

    for uri in (f"runs:/{run}/bundle", "models:/faces/1", "models:/faces@best"):
        loaded = Bundle.load(uri)
        assert loaded.name == "tiny"
        assert not loaded.folder.is_relative_to(store)
    for uri in (f"runs:/{run}/nothing", "runs:/0000/bundle", "models:/faces/2", "models:/nobody/1", "models:/faces"):
        with pytest.raises(UserError, match=f"cannot fetch {uri} from sqlite:.*MLFLOW_TRACKING_URI"):
            Bundle.load(uri)

    # Without MLFLOW_TRACKING_URI it is the store of the current folder, where training logs to.
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (tmp_path / "empty").mkdir()
    loading = subprocess.run(
        [sys.executable, "-c", LOAD_FROM_DEFAULT_STORE, store],
        cwd=tmp_path / "empty",
        capture_output=True,
        text=True,
        check=True,
    )
    refusal, folder = loading.stdout.splitlines()
    assert refusal.startswith("no MLflow store here (sqlite:///mlflow.db)")
    assert not list((tmp_path / "empty").iterdir()), "looking for a store makes none"
    assert not Path(folder).exists(), "a fetched bundle goes when the program ends"


LOAD_FROM_DEFAULT_STORE = """
import os, sys
from face_generation.errors import UserError
from face_generation.generator import Bundle
try:
    Bundle.load("models:/faces/1")
except UserError as error:
    print(error)
os.chdir(sys.argv[1])
print(Bundle.load("models:/faces/1").folder)
"""


def test_mlflow_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(UserError, match=f"cannot fetch models:/faces/1 from {address}") as error:
        Bundle.load("models:/faces/1")
    assert "\n" not in str(error.value)
