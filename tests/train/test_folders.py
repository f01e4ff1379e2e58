"""Each run has a folder of its own."""

import os
import time
from pathlib import Path

import pytest

from face_generation.errors import UserError
from face_generation.train import folders


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    now = tmp_path / "2026-11-30_20-12-11"
    with folders.holding(now, again=False) as first, folders.holding(now, again=False) as second:
        (first / "config.yaml").touch()
        assert [path.name for path in (first, second)] == [now.name, f"{now.name}-2"]


def test_a_new_run_leaves_a_finished_ones_folder_alone(tmp_path: Path) -> None:
    with folders.holding(tmp_path / "run", again=False) as first:
        (first / "config.yaml").touch()
    with folders.holding(tmp_path / "run", again=False) as second:
        assert second == tmp_path / "run-2"


def test_a_folder_is_held_by_one_run_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "PATIENCE", 0.1)
    with (
        folders.holding(tmp_path, again=True),
        pytest.raises(UserError, match="another run is training in"),
        folders.holding(tmp_path, again=True),
    ):
        pass
    with folders.holding(tmp_path, again=True) as folder:
        assert folder == tmp_path


def test_what_killed_runs_left_behind_is_swept(tmp_path: Path) -> None:
    left = [tmp_path / "a/checkpoints/.last.ckpt.0123abcd.unfinished", tmp_path / "b/.bundle.0123abcd.unfinished/part"]
    for path in left:
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / "b/config.yaml").touch()
    for path in (left[0], left[1].parent):
        os.utime(path, (0, time.time() - 10))

    folders.sweep_all(tmp_path)

    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {
        "b/config.yaml"
    }
