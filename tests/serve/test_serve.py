"""Starting the service, and what keeps it from starting."""

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from face_generation.serve import __main__ as serve
from face_generation.serve.settings import Settings

COMMAND = [sys.executable, "-m", "face_generation.serve"]
CONFIG = Path(__file__).parents[2] / "configs" / "serve.yaml"


@pytest.fixture
def mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command in this process, which must end with status 2 and one line, and returns that line."""
    monkeypatch.chdir(tmp_path)

    def run(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["serve.py", *options])
        with pytest.raises(SystemExit) as stop:
            serve.main()
        printed = capsys.readouterr()
        assert (stop.value.code, printed.out) == (2, "")
        assert re.fullmatch(r"error: [^\n]+\n", printed.err)
        return printed.err.removeprefix("error: ")

    return run


def test_fresh_clone_serves_both_models(serving: Any, tmp_path: Path) -> None:
    with serving(tmp_path, "host=localhost") as server:
        names = [bundle["name"] for bundle in server.http.get("/api/v1/bundles").json()["bundles"]]
        cards = [server.http.get(f"/api/v1/{name}/card") for name in names]

        assert server.greeting == f"Serving faces at http://localhost:{server.port}/ (Ctrl-C stops)\n"
        assert names == ["vae", "dcgan"]
        for name, card in zip(names, cards, strict=True):
            assert card.headers["content-type"] == "text/markdown; charset=utf-8"
            assert card.text.startswith(f"# {name}\n")
    assert {path.suffix for path in tmp_path.iterdir()} == {".log"}, "nothing is written"


@pytest.mark.slow  # a time, which other programs disturb
def test_ready_within_two_seconds(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    with subprocess.Popen([*COMMAND, f"port={port}"], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        while True:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5).status_code == 200
                break
            except httpx.TransportError:
                time.sleep(0.01)
        seconds = time.monotonic() - start
        process.terminate()
    assert seconds < 2


def test_any_free_port(tiny_bundle: Path, tmp_path: Path) -> None:
    command = [*COMMAND, "port=0", "workers=1", f"bundles={tiny_bundle}"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().split()[3]
        assert httpx.get(f"{url}ready").status_code == 200
        process.terminate()
    assert process.returncode == 0


def test_port_in_use(mistake: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = mistake(f"port={port}")

    assert message == f"port {port} of 127.0.0.1 is in use; choose another, such as port={port + 1}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["port=70000"], "port should be less than or equal to 65535, not 70000"),
        (["port=abc"], "port should be a valid integer, not 'abc'"),
        (["host=nowhere.invalid"], "host=nowhere.invalid is not an address"),
        (["host=203.0.113.1"], "cannot serve at 203.0.113.1:8000: Cannot assign requested address"),
        (["bundles=[]"], "bundles should have at least 1 item, not 0"),
        (["workers=0"], "workers should be greater than or equal to 1, not 0"),
        (["limits.queue=10"], "limits.faces=64 never fit limits.queue=10; raise it"),
        (["limits.timeout=-1"], "limits.timeout should be greater than 0, not -1"),
        (["limits.fases=1"], "Could not override 'limits.fases'"),
        (["prefix=faces"], "prefix is a path such as /faces"),
        (["prefix=/api"], "prefix=/api begins like a path of the service; choose another"),
        (["prefix=/faces/"], "without a slash at its end, not '/faces/'"),
    ],
)
def test_mistakes(mistake: Callable[..., str], options: list[str], message: str) -> None:
    assert message in mistake(*options)


def test_bundles_that_cannot_be_served(mistake: Callable[..., str], tiny_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "docs")
    manifest = tmp_path / "docs" / "bundle.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"docs"'))

    for bundles, message in [
        ("nobody", "no bundle 'nobody'; give a shipped one (dcgan, vae)"),
        (f"{tiny_bundle},{tiny_bundle}", "two bundles are called tiny"),
        ("docs", "'docs' cannot be part of an address"),
    ]:
        assert message in mistake("port=0", f"bundles=[{bundles}]")


def test_a_runtime_that_is_not_there(mistake: Callable[..., str], tiny_bundle: Path) -> None:
    options = ["port=0", f"bundles=[{tiny_bundle}]", "draw=browser", "runtime=nowhere"]

    assert mistake(*options).startswith("cannot read nowhere/dist/ort.wasm.bundle.min.mjs: No such file or directory; ")


def test_empty_api_key(mistake: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_GENERATION_API_KEY", "")

    assert "FACE_GENERATION_API_KEY is set and empty" in mistake()


def test_help_names_every_option(tmp_path: Path) -> None:
    text = subprocess.run([*COMMAND, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert "python -m face_generation.serve port=8080" in text
    for option in Settings.model_fields.keys() - {"limits", "api_key"}:
        assert re.search(rf"^  {option}: .+ # .+$", text, re.MULTILINE), option


def test_defaults_are_those_of_the_config() -> None:
    options = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))

    assert (
        Settings.read({name: value for name, value in options.items() if name not in ("defaults", "hydra")})
        == Settings()
    )


def test_imports_no_torch(tiny_bundle: Path) -> None:
    code = (
        "import sys\n"
        "import face_generation.serve\n"
        "from face_generation.serve.app import create_app\n"
        "from face_generation.serve.settings import Settings\n"
        f"create_app(Settings(bundles=[{str(tiny_bundle)!r}], workers=1)).state.service\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"torch", "mlflow", "pandas", "onnx", "matplotlib"} & set(loaded)
