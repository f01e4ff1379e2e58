"""The program `face-generation`, as it is installed."""

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from select import select

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


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell that finds the program."""
    program = tmp_path / "face-generation"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m face_generation.cli "$@"\n')
    program.chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb"}


COMPLETED = [
    ("face-generation tr", {"train"}),
    ("face-generation train experiment=demo", {"experiment=demo", "experiment=demo_prior"}),
    ("face-generation draw trunc", {"truncation="}),
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(("line", "completed"), COMPLETED)
def test_bash_completes_commands_options_and_choices(line: str, completed: set[str], installed: dict[str, str]) -> None:
    words = " ".join(f"'{word}'" for word in line.split())
    script = (
        f'eval "$(face-generation completion bash)"; COMP_LINE="{line}"; COMP_WORDS=({words}); '
        f'COMP_CWORD={len(line.split()) - 1}; _face_generation; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=installed)

    assert set(done.stdout.split()) == completed, done.stderr


def test_zsh_loads_what_reads_the_completion_of_bash() -> None:
    bash, zsh = (run("completion", shell).stdout for shell in ("bash", "zsh"))

    assert zsh == f"autoload -U +X compinit bashcompinit && compinit && bashcompinit\n{bash}"


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh: apt-get install zsh")
@pytest.mark.parametrize(("line", "completed"), COMPLETED)
def test_zsh_completes_them_when_somebody_types(line: str, completed: set[str], installed: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, env=installed, start_new_session=True
    ) as zsh:
        os.close(theirs)
        # The first Tab shows both of two choices. Ctrl-A goes to the beginning of the line, so that zsh prints it.
        os.write(ours, f'eval "$(face-generation completion zsh)"\n{line}\t\x01print -r -- \nexit\n'.encode())
        shown = ""
        while select([ours], [], [], 60)[0] and (read := _read(ours)):
            shown += read
        zsh.kill()
    os.close(ours)

    assert completed <= set(re.findall(r"[\w=]+", shown)), shown


def _read(terminal: int) -> str:
    """What comes from a terminal; empty when its program has ended."""
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:
        return ""
