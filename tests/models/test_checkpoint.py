"""Checkpoints: damage is found, and a full disk leaves the older one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from face_generation.errors import UserError
from face_generation.models import checkpoint
from face_generation.models.base import FaceModel


@pytest.fixture(scope="module")
def saved(
    build_model: Callable[..., FaceModel],
    provenance: Callable[..., dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "final.ckpt"
    checkpoint.save(path, build_model("prior"), provenance("prior"))
    return path


def test_a_whole_checkpoint_is_read(saved: Path) -> None:
    assert checkpoint.read(saved)["model"] == "Prior"
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("place", [0.01, 0.2, 0.5, 0.8, 0.97])
def test_flipped_bits_are_found(saved: Path, tmp_path: Path, place: float) -> None:
    content = bytearray(saved.read_bytes())
    for start in range(16):  # parts of the file are padding
        content[int(place * len(content)) + 64 * start] ^= 1
    (tmp_path / "damaged.ckpt").write_bytes(content)

    with pytest.raises(UserError, match="damaged.ckpt is damaged"):
        checkpoint.read(tmp_path / "damaged.ckpt")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_checkpoint_that_was_cut_short_is_refused(saved: Path, tmp_path: Path, share: float) -> None:
    content = saved.read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(content[: int(share * len(content))])

    with pytest.raises(UserError, match="cut.ckpt is damaged, cut short"):
        checkpoint.read(tmp_path / "cut.ckpt")


def test_weights_that_are_no_numbers_are_refused(saved: Path, tmp_path: Path) -> None:
    content = checkpoint.read(saved)
    name = next(iter(content["state_dict"]))
    content["state_dict"][name] = torch.full_like(content["state_dict"][name], torch.nan)
    checkpoint.write(tmp_path / "nan.ckpt", content)

    with pytest.raises(UserError, match=f"nan.ckpt has weights that are not numbers .{name}."):
        checkpoint.read(tmp_path / "nan.ckpt")


MOUNT = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
CAN_MOUNT = sys.platform == "linux" and subprocess.run([*MOUNT, "mount -t tmpfs tmpfs /mnt"]).returncode == 0


@pytest.mark.skipif(not CAN_MOUNT, reason="no file systems can be mounted here")
def test_a_full_disk_is_one_line_and_keeps_the_old_checkpoint(saved: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; import torch\n"
        "from face_generation.errors import exit_on_user_error\n"
        "from face_generation.models import checkpoint\n"
        "disk, content = Path(sys.argv[1]), checkpoint.read(Path(sys.argv[2]))\n"
        "checkpoint.write(disk / 'last.ckpt', content)\n"
        "with exit_on_user_error():\n"
        "    checkpoint.write(disk / 'last.ckpt', content | {'more': torch.zeros(10**6)})\n"
    )
    (tmp_path / "disk").mkdir()
    script = (
        f"mount -t tmpfs -o size=2m tmpfs {tmp_path}/disk && {{ {sys.executable} - {tmp_path}/disk {saved}; echo $?; "
        f"cp -r {tmp_path}/disk {tmp_path}/found; }}"
    )
    done = subprocess.run([*MOUNT, script], input=program, capture_output=True, text=True)

    assert done.stdout == "2\n"
    assert done.stderr.startswith("error: no space left for ")
    assert "ckpt_path=last" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["last.ckpt"]
    assert "more" not in checkpoint.read(tmp_path / "found/last.ckpt")
