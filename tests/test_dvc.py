"""The project's DVC files, used by real `dvc` commands in a repository of their own."""

import ast
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from face_generation.data.celeba import FILES
from face_generation.data.synthetic import write_synthetic_faces
from face_generation.data.versioning import pull_splits
from face_generation.errors import UserError

ROOT = Path(__file__).parents[1]
TRAIN = "python -m face_generation.train"
EVALUATE = "python -m face_generation.evaluate"
# The recipe of a minute, cut to seconds.
SMALL = "data.batch_size=8 trainer.max_epochs=1 trainer.limit_train_batches=3 logger=none measure_edits=false"


# What a stage imports, though no file that it makes depends on it.
TRACELESS = {"command", "errors", "files", "outbox", "tracking"}


def imported_files(modules: Iterable[str]) -> set[str]:
    """The files of the package that modules import, and what those import, and so on."""
    begun = [path for name in modules for path in files_of(name)]
    found: set[Path] = set()
    while begun:
        path = begun.pop()
        if path not in found:
            found.add(path)
            begun += [file for name in names_imported(path) for file in files_of(name)]
    return {path.relative_to(ROOT).as_posix() for path in found}


def files_of(name: str) -> Iterator[Path]:
    """The files that are read when `name` is imported, which may be a module or something in one."""
    if not name.startswith(("face_generation.", "scripts.")):
        return
    for depth in range(1, name.count(".") + 2):
        place = ROOT.joinpath(*name.split(".")[:depth])
        yield from filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py"))


def names_imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder_md5(files: Mapping[str, str]) -> str:
    """DVC's checksum of a folder, from the MD5 of each file by name: the MD5 of its listing as JSON, sorted by name."""
    listing = [{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())]
    return hashlib.md5(json.dumps(listing).encode()).hexdigest() + ".dir"


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def only_output(dvc_file: Path) -> dict:
    (output,) = yaml.safe_load(dvc_file.read_text(encoding="utf-8"))["outs"]
    return output


def contents(repository: Path) -> dict[Path, bytes]:
    """What DVC keeps, as the stages and the raw data left it."""
    kept = (f"models/{model}/{what}" for model in ("vae", "prior") for what in ("checkpoints", "bundle"))
    folders = ("data", "splits", *kept)
    paths = [path for folder in folders for path in sorted((repository / folder).iterdir())]
    return {path: path.read_bytes() for path in [*paths, repository / "models/prior/evaluation/report.html"]}


def run(repository: Path, *command: str) -> str:
    """Runs a command with no settings but the repository's own; returns what it printed."""
    here = repository.parent
    environment = os.environ | {
        "PYTHONPATH": str(repository),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "DVC_GLOBAL_CONFIG_DIR": str(here / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(here / "system"),
        "DVC_SITE_CACHE_DIR": str(here / "site"),
        "DVC_NO_ANALYTICS": "1",
        "TORCH_HOME": str(here / "torch"),
        "https_proxy": "http://127.0.0.1:9",  # no weights of metrics are fetched
    }
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def dvc(repository: Path, *arguments: str) -> str:
    return run(repository, sys.executable, "-m", "dvc", *arguments)


def copied(repository: Path) -> Path:
    """The project without shipped weights, in a repository of its own."""
    for folder in ("face_generation", "scripts", "configs"):
        shutil.copytree(ROOT / folder, repository / folder, ignore=shutil.ignore_patterns("__pycache__", "bundles"))
    for name in (".gitignore", ".dvcignore", ".dvc/.gitignore", ".dvc/config", "data.dvc", "dvc.yaml", "params.yaml"):
        (repository / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, repository / name)
    run(repository, "git", "init", "--quiet")
    run(repository, "git", "config", "user.name", "a")
    run(repository, "git", "config", "user.email", "a@example.org")
    return repository


def commit(repository: Path) -> None:
    run(repository, "git", "add", "--all")
    run(repository, "git", "commit", "--quiet", "--message", "Before")


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory, small_networks: dict[str, list[str]]) -> Path:
    """The project with synthetic faces as its raw data: added, split, trained on, evaluated, and pushed."""
    repository = copied(tmp_path_factory.mktemp("dvc") / "repository")
    stages = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    for stage in ("vae", "prior"):
        whole = f"{TRAIN} experiment={stage}"
        stages = stages.replace(whole, " ".join([whole, SMALL, *small_networks[stage]]))
    stages = stages.replace(EVALUATE, f"{EVALUATE} samples=12")
    (repository / "dvc.yaml").write_text(stages, encoding="utf-8")
    write_synthetic_faces(repository / "data", 60, seed=0)
    dvc(repository, "add", "data")
    dvc(repository, "repro")
    dvc(repository, "push")
    return repository


@pytest.fixture
def repository(pushed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pushed, tmp_path / "repository"))


STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def config_files(choices: Iterable[str]) -> Iterator[Path]:
    """The files that Hydra composes for `train`, where `choices` are those of an experiment."""
    yield ROOT / "configs/train.yaml"
    for choice in ("callbacks/default", "trainer/default", *choices):
        yield ROOT / f"configs/{choice}.yaml"


COMPOSED = {
    "autoencoder": ["data/packed", "experiment/vae", "model/vae"],
    "prior": ["data/latents", "data/packed", "experiment/prior", "model/prior"],
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_that_it_runs(stage: str) -> None:
    roots = {
        "split": ["scripts.train_val_split"],
        "autoencoder": ["face_generation.train.__main__"],
        "prior": ["face_generation.train.__main__"],
        "evaluate": ["face_generation.evaluate.__main__"],
    }[stage]
    configured = "".join(path.read_text(encoding="utf-8") for path in config_files(COMPOSED.get(stage, ())))
    targets = re.findall(r"_target_: (face_generation\.\S+)", configured) if stage in COMPOSED else []
    traceless = {f"face_generation/{name}.py" for name in TRACELESS | {"__init__"}}
    needed = imported_files([*roots, *targets]) - traceless
    declared = [dep for dep in STAGES[stage]["deps"] if dep.startswith(("face_generation", "scripts"))]

    assert {path for path in needed if not any(path == dep or path.startswith(f"{dep}/") for dep in declared)} == set()
    assert [dep for dep in declared if not any(path == dep or path.startswith(f"{dep}/") for path in needed)] == []


@pytest.mark.parametrize("stage", COMPOSED)
def test_every_option_of_a_training_is_a_parameter_of_its_stage(stage: str) -> None:
    declared = {name for each in STAGES[stage]["params"] for name in each}
    assert declared == {path.relative_to(ROOT).as_posix() for path in config_files(COMPOSED[stage])}


@pytest.mark.slow  # DVC looks at every option of every stage
def test_a_changed_option_shows_in_the_diff_of_parameters(tmp_path: Path) -> None:
    repository = copied(tmp_path / "repository")
    commit(repository)
    path = repository / "configs/model/vae.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("kl_weight: 0.3", "kl_weight: 0.5"), encoding="utf-8")

    changed = json.loads(dvc(repository, "params", "diff", "--json"))
    assert list(changed) == ["configs/model/vae.yaml"]
    [(name, values)] = changed["configs/model/vae.yaml"].items()
    assert (name, values["old"], values["new"]) == ("model.kl_weight", 0.3, 0.5)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_takes_more_options_from_an_experiment(stage: str) -> None:
    assert STAGES[stage]["cmd"].endswith(f" ${{{stage}}}")
    assert yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))[stage] == ""


# Stands in for a stage: `make.py OUTPUT… -- COMMAND` prints the command, and writes it into each output.
MAKE = """
import sys
from pathlib import Path
end = sys.argv.index("--")
command = " ".join(sys.argv[end + 1 :])
print(command)
for path in map(Path, sys.argv[1:end]):
    file = path if path.suffix else path / "file.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'{{"command": "{command}"}}')
"""


@pytest.mark.slow  # DVC looks at every option of every stage
def test_an_experiment_runs_the_stages_that_its_option_affects(tmp_path: Path) -> None:
    """The project's stages, which print their commands instead of running them."""
    repository = copied(tmp_path / "repository")
    (repository / "make.py").write_text(MAKE, encoding="utf-8")
    content = yaml.safe_load((repository / "dvc.yaml").read_text(encoding="utf-8"))
    for stage in content["stages"].values():
        made = [next(iter(each)) for kind in ("outs", "metrics") for each in stage.get(kind, [])]
        stage["cmd"] = f"python make.py {' '.join(made)} -- {stage['cmd']}"
    (repository / "dvc.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (repository / "data").mkdir()
    (repository / "data/file").write_bytes(b"faces")
    dvc(repository, "add", "data")
    assert dvc(repository, "repro").count("Running stage") == len(STAGES)
    commit(repository)

    done = dvc(repository, "exp", "run", "--set-param", 'prior="model.steps=4 truncation=0.7"')
    assert "hydra.run.dir=models/prior model.steps=4 truncation=0.7" in done
    assert re.findall(r"Running stage '(\w+)'", done) == ["prior", "evaluate"]
    assert json.loads(dvc(repository, "params", "diff", "--json"))["params.yaml"]["prior"]["old"] == ""


def test_data_dvc_names_the_official_files() -> None:
    assert only_output(ROOT / "data.dvc") == {
        "md5": folder_md5({name: file.md5 for name, file in FILES.items()}),
        "size": sum(file.size for file in FILES.values()),
        "nfiles": len(FILES),
        "hash": "md5",
        "path": "data",
        "remote": "data",
    }


def test_dvc_add_computes_the_same_checksum(pushed: Path) -> None:
    files = list((pushed / "data").iterdir())

    assert {file.name for file in files} == set(FILES)
    assert only_output(pushed / "data.dvc") == {
        "md5": folder_md5({file.name: md5_of(file) for file in files}),
        "size": sum(file.stat().st_size for file in files),
        "nfiles": len(files),
        "hash": "md5",
        "path": "data",
        "remote": "data",
    }


def test_checkpoints_and_bundle_have_a_remote_of_their_own(pushed: Path) -> None:
    largest = max((pushed / "models/vae/checkpoints").iterdir(), key=lambda path: path.stat().st_size)
    md5 = md5_of(largest)

    assert list((pushed / "remotes/models").rglob(md5[2:]))
    assert not list((pushed / "remotes/data").rglob(md5[2:]))


def test_pull_brings_back_what_was_pushed(repository: Path) -> None:
    before = contents(repository)
    for folder in ("data", "splits", "models", ".dvc/cache"):
        shutil.rmtree(repository / folder)

    dvc(repository, "pull")

    assert contents(repository) == before


def test_a_fresh_clone_says_how_to_make_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".dvc/config", "data.dvc", "dvc.yaml", "params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    run(tmp_path, "git", "init", "--quiet")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UserError) as stop:
        pull_splits(Path("splits"))
    assert "(failed to pull data from the cloud); make them with: python scripts/download_data.py" in str(stop.value)


def test_training_pulls_splits_that_are_missing(repository: Path) -> None:
    before = (repository / "splits/train.npy").read_bytes()
    for folder in ("splits", ".dvc/cache"):
        shutil.rmtree(repository / folder)

    datamodule = "from face_generation.data.datamodule import PackedDataModule"
    run(repository, sys.executable, "-c", f"{datamodule}; PackedDataModule('splits').prepare_data()")

    assert (repository / "splits/train.npy").read_bytes() == before


def test_pushed_checkpoints_of_a_run_can_be_pulled(repository: Path) -> None:
    checkpoints = repository / "outputs/vae/run/checkpoints"
    shutil.copytree(repository / "models/vae/checkpoints", checkpoints)
    before = (checkpoints / "final.ckpt").read_bytes()
    versioning = "from pathlib import Path; from face_generation.data.versioning import add_and_push"
    run(repository, sys.executable, "-c", f"{versioning}; add_and_push(Path('outputs/vae/run/checkpoints'))")
    for folder in (checkpoints, repository / ".dvc/cache"):
        shutil.rmtree(folder)

    dvc(repository, "pull", "outputs/vae/run/checkpoints.dvc")

    assert (checkpoints / "final.ckpt").read_bytes() == before


def test_repro_runs_again_only_what_changed(repository: Path) -> None:
    assert "Running stage" not in dvc(repository, "repro")

    shutil.rmtree(repository / "data")
    write_synthetic_faces(repository / "data", 70, seed=1)
    assert "Running stage 'split'" in dvc(repository, "repro", "split")

    summary = json.loads((repository / "splits/summary.json").read_text(encoding="utf-8"))
    assert sum(summary["counts"].values()) == 70


def test_git_takes_the_figures_and_never_the_faces(repository: Path) -> None:
    run(repository, "git", "add", "--all")
    tracked = run(repository, "git", "ls-files", "models").splitlines()

    evaluation = {"figures.csv", "metrics.json", "nearest.csv"}
    of_training = {f"models/{model}/metrics.json" for model in ("vae", "prior")}
    assert set(tracked) == of_training | {f"models/prior/evaluation/{name}" for name in evaluation}


def test_a_change_shows_in_metrics_and_plots(repository: Path) -> None:
    commit(repository)
    path = repository / "models/prior/evaluation/metrics.json"
    figures = json.loads(path.read_text(encoding="utf-8"))
    figures["prior"]["swd"] += 1
    path.write_text(json.dumps(figures), encoding="utf-8")

    swd = figures["prior"]["swd"]
    assert json.loads(dvc(repository, "metrics", "diff", "--json")) == {
        "models/prior/evaluation/metrics.json": {
            "prior.swd": {"old": pytest.approx(swd - 1), "new": swd, "diff": pytest.approx(1)}
        }
    }
    plots = json.loads(dvc(repository, "plots", "show", "--json"))
    assert "errors" not in plots
    for (plot,) in plots["data"].values():
        x, values = plot["content"]["encoding"]["x"]["field"], plot["content"]["data"]["values"]
        assert all(math.isfinite(float(value[x])) for value in values)
        assert {value.get("field") or value["model"] for value in values} == {"prior", "real"}
