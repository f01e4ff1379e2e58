"""The program `face-generation`, as it is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PROGRAM = [sys.executable, "-m", "face_generation.cli"]


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


def test_without_a_command_it_lists_them() -> None:
    done = run()

    assert done.returncode == 0
    for name in ("train", "draw", "evaluate", "export", "push", "serve", "site"):
        assert f"\n  {name} " in done.stdout


def test_an_unknown_command_is_one_line() -> None:
    done = run("trian")

    assert done.returncode == 2
    assert done.stderr == "error: no command 'trian'; use one of train, draw, evaluate, export, push, serve, site\n"


def test_a_command_does_what_its_module_does(tiny_bundle: Path, tmp_path: Path) -> None:
    done = run("draw", f"bundle={tiny_bundle}", "seed=7", "output=seven.png", folder=tmp_path)

    assert done.stdout == "seven.png: 1 face, seed 7, bundle tiny\n", done.stderr
    assert Image.open(tmp_path / "seven.png").size == (150, 150)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("face-generation tr", {"train"}),
        ("face-generation train experiment=demo", {"experiment=demo", "experiment=demo_prior"}),
        ("face-generation draw trunc", {"truncation="}),
    ],
)
def test_bash_completes_commands_options_and_choices(line: str, completed: set[str], tmp_path: Path) -> None:
    program = tmp_path / "face-generation"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m face_generation.cli "$@"\n')
    program.chmod(0o755)
    words = " ".join(f"'{word}'" for word in line.split())
    script = (
        f'eval "$(face-generation completion bash)"; COMP_LINE="{line}"; COMP_WORDS=({words}); '
        f'COMP_CWORD={len(line.split()) - 1}; _face_generation; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=os.environ | {"PATH": path})

    assert set(done.stdout.split()) == completed, done.stderr
