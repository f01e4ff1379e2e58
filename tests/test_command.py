import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig

from face_generation.command import command, options
from face_generation.errors import UserError


@pytest.fixture(autouse=True)
def _command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["program.py"])


def failing(error: BaseException) -> None:
    @command("inference")
    def main(config: DictConfig) -> None:
        raise error

    main()


def test_user_error_in_an_instantiated_object(capsys: pytest.CaptureFixture[str]) -> None:
    @command("inference")
    def main(config: DictConfig) -> None:
        instantiate({"_target_": "face_generation.generator.Generator.load", "where": "nobody"})

    with pytest.raises(SystemExit) as stop:
        main()

    assert stop.value.code == 2
    assert re.fullmatch("error: no bundle 'nobody'.*\n", capsys.readouterr().err)


def test_unknown_argument_of_an_instantiated_object(capsys: pytest.CaptureFixture[str]) -> None:
    @command("inference")
    def main(config: DictConfig) -> None:
        instantiate({"_target_": "pathlib.PurePath.joinpath", "depth": 3})

    with pytest.raises(SystemExit) as stop:
        main()

    assert stop.value.code == 2
    assert re.fullmatch(r"error: .*pathlib.*; --help shows the options of inference\n", capsys.readouterr().err)


def test_mistake_in_the_options() -> None:
    script = "from face_generation.command import command; command('inference')(print)()"
    for value, shown in (("0", r"error: Could not override 'colour'; .*\n"), ("1", r"(?s)Traceback .*")):
        program = subprocess.run(
            [sys.executable, "-c", script, "colour=red"],
            env=os.environ | {"HYDRA_FULL_ERROR": value},
            capture_output=True,
            text=True,
            check=False,
        )
        assert re.fullmatch(shown, program.stderr)


def test_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        failing(KeyboardInterrupt())

    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_interrupted_command_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        failing(KeyboardInterrupt("go on with: train ckpt_path=last"))

    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted; go on with: train ckpt_path=last\n"


ODD = [
    "IMG (1).jpg",
    "me, 2024.jpg",
    "a=b.jpg",
    "émilie.jpg",
    "foto#1.jpg",
    "it's \\'me.jpg",
    "[2].jpg",
    "50%.jpg",
    "a\\",
]


@pytest.mark.parametrize("name", ODD)
def test_a_path_is_taken_as_it_stands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    @command("inference", texts=["input"])
    def main(config: DictConfig) -> None:
        taken.append(config.input)

    monkeypatch.setattr(sys, "argv", ["program.py", f"input={name}"])
    main()

    assert taken == [name]


def test_a_path_begins_at_home_may_be_quoted_and_may_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")

    @command("inference", texts=["bundle", "input", "output"])
    def main(config: DictConfig) -> None:
        taken.update(config)

    taken: dict[str, object] = {}
    monkeypatch.setattr(sys, "argv", ["program.py", "input=~/a (1).jpg", "output='b (2).png'", "bundle=null"])
    main()

    assert (taken["input"], taken["output"], taken["bundle"]) == ("/home/me/a (1).jpg", "b (2).png", None)


def test_an_option_that_a_group_lacks_gets_hydras_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["program.py", "trainer.reload_dataloaders_every_n_epochs=1"])

    with pytest.raises(SystemExit):
        command("train")(print)()

    assert "use +trainer.reload_dataloaders_every_n_epochs=1;" in capsys.readouterr().err


def test_a_command_that_fails_leaves_no_empty_folder(tmp_path: Path) -> None:
    @command("train")
    def main(config: DictConfig) -> None:
        raise UserError("no data; pack some")

    with pytest.raises(SystemExit):
        main()

    assert list(tmp_path.iterdir()) == []


def test_nor_does_it_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "argv", ["program.py", f"runs_dir={tmp_path}/runs"])

    @command("train")
    def main(config: DictConfig) -> None:
        raise UserError("no data; pack some")

    with pytest.raises(SystemExit):
        main()

    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_folder_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["program.py", "runs_dir=file"])

    with pytest.raises(SystemExit) as stop:
        command("train")(print)()

    assert stop.value.code == 2
    assert re.fullmatch(r"error: .*file/.* cannot be made .*; choose another place\n", capsys.readouterr().err)


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        failing(OSError(errno.ENOSPC, "No space left on device"))

    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: no space left ([Errno 28] No space left on device); free some\n"


def test_bugs_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError())


def test_user_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        failing(UserError("too few; ask for more"))

    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: too few; ask for more\n"


def test_a_terminal_obeys_no_name_in_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        failing(UserError("cannot read a\x1b[2J\nb\x9b\u202ec.jpg; give é, 日本 or 😀"))

    assert capsys.readouterr().err == "error: cannot read a\\x1b[2J\\nb\\x9b\\u202ec.jpg; give é, 日本 or 😀\n"


def test_result_of_the_composed_configuration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["program.py", "seed=3", "--cfg", "job"])

    failing(AssertionError("not reached"))

    assert "seed: 3\n" in capsys.readouterr().out


def test_an_experiment_may_be_in_a_folder_of_ones_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\nseed: 5\n")
    monkeypatch.setattr(
        sys,
        "argv",
        ["program.py", "--config-dir", str(tmp_path), "experiment=mine", "--cfg", "job", "--package", "seed"],
    )

    command("train")(print)()

    assert "5" in capsys.readouterr().out.splitlines()[-1]


def test_options_are_the_config_without_what_is_for_hydra(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "defaults:\n  - _self_\n  - model: vae\n\nseed: 1 # of everything\nout: ${oc.env:HOME}\n\n"
        "hydra:\n  run:\n    dir: .\n\n  # within\n  job:\n    name: x\nlast: true # not Hydra's\n"
    )

    assert options(config) == "  seed: 1 # of everything\n  out: $${oc.env:HOME}\n\n  last: true # not Hydra's"
