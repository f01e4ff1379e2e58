"""Files and folders that appear whole, also where the process that makes them is killed."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from face_generation.errors import UserError
from face_generation.files import replacing, scratch, sweep, writing


def test_writing_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "file.png"
    for content in (b"first", b"second"):
        with writing(path) as file:
            file.write(content)
            assert path.exists() == (content == b"second"), "only a whole file has the name"
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_written_file_has_ordinary_permissions(tmp_path: Path) -> None:
    with writing(tmp_path / "ours") as file:
        file.write(b"content")
    (tmp_path / "ordinary").write_bytes(b"content")

    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


def test_an_error_keeps_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(b"older")

    with pytest.raises(KeyboardInterrupt), writing(path) as file:
        file.write(b"half of")
        raise KeyboardInterrupt

    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()

    for path in (tmp_path / "file" / "x.png", tmp_path / "folder", tmp_path / f"{'x' * 300}.png"):
        with pytest.raises(UserError, match="cannot write .*; choose another place"), writing(path) as file:
            file.write(b"content")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="no space left for .*; free some, or choose another place"),
        writing(tmp_path / "x.png") as file,
        open("/dev/full", "wb", buffering=0) as full,
    ):
        file.write(b"content")
        full.write(b"content")
    assert not list(tmp_path.iterdir())


def killed(code: str, folder: Path) -> None:
    """Runs lines of a program until it prints something, and then kills it."""
    imports = "import sys, time; from pathlib import Path; from face_generation.files import *"
    wait = "print('ready', flush=True); time.sleep(60)"
    program = f"{imports}\n{code}    {wait}"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=folder, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    make_older(folder)


def make_older(folder: Path) -> None:
    for path in folder.glob(".*.unfinished"):
        os.utime(path, (0, time.time() - 10))


def test_a_killed_writer_leaves_the_older_file_and_is_swept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"older")
    killed("with writing(Path('file')) as file:\n    file.write(bytes(10**6)); file.flush()\n", tmp_path)
    assert len(list(tmp_path.iterdir())) == 2

    sweep(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"older"


def test_what_is_still_written_is_not_swept(tmp_path: Path) -> None:
    with writing(tmp_path / "file") as file, replacing(tmp_path / "folder") as new:
        file.write(b"content")
        (new / "part").write_bytes(b"content")
        make_older(tmp_path)
        sweep(tmp_path)

    assert (tmp_path / "file").read_bytes() == (tmp_path / "folder/part").read_bytes() == b"content"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_killed_processs_scratch_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    killed("with scratch('work') as folder:\n    (folder / 'content').write_bytes(b'content')\n", tmp_path)
    assert len(list(tmp_path.iterdir())) == 1

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch("work") as folder:
        assert list(tmp_path.iterdir()) == [folder]
        assert not list(folder.iterdir())
    assert not list(tmp_path.iterdir())


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A folder that is to be replaced."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "content").write_text("older")
    return folder


def test_a_folder_is_replaced_at_once(older: Path) -> None:
    with replacing(older) as new:
        (new / "content").write_text("newer")
        assert (older / "content").read_text() == "older"

    assert (older / "content").read_text() == "newer"
    assert list(older.parent.iterdir()) == [older]


def test_an_error_keeps_the_older_folder(older: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(older) as new:
        (new / "content").write_text("half of")
        raise KeyboardInterrupt

    assert (older / "content").read_text() == "older"
    assert list(older.parent.iterdir()) == [older]


def test_a_killed_replacement_leaves_the_older_folder(older: Path) -> None:
    killed("with replacing(Path('folder')) as new:\n    (new / 'content').write_text('half of')\n", older.parent)
    assert (older / "content").read_text() == "older"

    sweep(older.parent)

    assert list(older.parent.iterdir()) == [older]


def test_sweeping_brings_back_a_folder_that_was_moved_away(older: Path) -> None:
    """As a kill between two renames leaves it, where the file system cannot exchange folders."""
    unfinished = older.with_name(".folder.0123abcd.unfinished")
    (unfinished / "new").mkdir(parents=True)
    shutil.move(older, unfinished / "old")
    make_older(older.parent)

    sweep(older.parent)

    assert (older / "content").read_text() == "older"
    assert list(older.parent.iterdir()) == [older]
