"""Each run has a folder of its own."""

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
