"""Bundles go to a hub and come back, with the real client and a server on this machine that speaks its protocol."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("huggingface_hub")

TOKEN = "hf_secret"
LARGE = (".onnx", ".npz", ".jpg")  # what the hub wants by LFS


class Hub(ThreadingHTTPServer):
    """Repositories in memory: one revision each, with the files of all commits."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.fetched = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self) -> None:
        body = self.body()
        path = self.path.partition("?")[0]
        if path != "/api/validate-yaml" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer({"error": "Invalid username or password."}, 401)
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            about = json.loads(body)
            name = "/".join(filter(None, (about.get("organization"), about["name"])))
            self.server.files.setdefault(name, {})
            return self.answer({"url": f"{self.server.address}/{name}", "name": name})
        if path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(LARGE) else "regular" for name in names}
            files = [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes.items()]
            return self.answer({"files": files})
        if path.endswith("/info/lfs/objects/batch"):
            wanted = json.loads(body)["objects"]
            upload = [
                {**each, "actions": {"upload": {"href": f"{self.server.address}/lfs/{each['oid']}"}}} for each in wanted
            ]
            return self.answer({"transfer": "basic", "objects": upload})
        if path.endswith("/commit/main"):
            name = path.removeprefix("/api/models/").removesuffix("/commit/main")
            files = self.server.files[name]
            for line in body.splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    files[value["path"]] = self.server.objects[value["oid"]]
            return self.answer({"commitUrl": f"{self.server.address}/{name}/commit/{'1' * 40}", "commitOid": "1" * 40})
        return self.answer({"error": f"no {path}"}, 404)

    def do_PUT(self) -> None:
        content = self.body()
        assert self.path == f"/lfs/{hashlib.sha256(content).hexdigest()}"
        self.server.objects[self.path.removeprefix("/lfs/")] = content
        self.answer({})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/"):
            owner, repository, *what = path.removeprefix("/api/models/").split("/")
            name = f"{owner}/{repository}"
            files = self.server.files.get(name)
            if files is None:
                return self.answer({"error": "not found"}, 404, X_Error_Code="RepoNotFound")
            if what == ["revision", "main"]:
                siblings = [{"rfilename": file} for file in files]
                return self.answer({"id": name, "sha": "1" * 40, "private": False, "tags": [], "siblings": siblings})
            if what == ["tree", "1" * 40]:
                sizes = {file: len(content) for file, content in files.items()}
                return self.answer(
                    [{"type": "file", "path": file, "size": size, "oid": "2" * 40} for file, size in sizes.items()]
                )
            return self.answer({"error": "not found"}, 404, X_Error_Code="RevisionNotFound")
        name, _, file = path.removeprefix("/").partition(f"/resolve/{'1' * 40}/")
        if file not in self.server.files.get(name, {}):
            return self.answer({"error": "not found"}, 404)
        content = self.server.files[name][file]
        self.server.fetched += self.command == "GET"
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        return self.answer(content, ETag=etag, X_Repo_Commit="1" * 40)

    do_HEAD = do_GET


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


@pytest.fixture
def run(hub: Hub, tmp_path: Path) -> Any:
    """Runs a command in a folder and a home of its own, whose hub is the one on this machine."""

    def run(module: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"HF_ENDPOINT": hub.address, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hub")}
        return subprocess.run(
            [sys.executable, "-m", f"face_generation.{module}", *options],
            cwd=tmp_path,
            env={**os.environ, **environment, **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_a_bundle_goes_to_the_hub_and_draws_from_there(run: Any, hub: Hub, told_bundle: Path, tmp_path: Path) -> None:
    told_bundle = Path(shutil.copytree(told_bundle, tmp_path / "told"))
    (told_bundle / "README.md").write_text("# told\n", encoding="utf-8")
    pushed = run("push", f"bundle={told_bundle}", "repository=me/faces", HF_TOKEN=TOKEN)

    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.startswith("hf://me/faces: ")
    files = hub.files["me/faces"]
    manifest = json.loads((told_bundle / "bundle.json").read_text())
    assert files.keys() == {"bundle.json", "README.md", *manifest["files"]}
    _, front, card = files["README.md"].decode().split("---\n", 2)
    about = yaml.safe_load(front)
    assert (about["license"], about["library_name"]) == ("mit", "face-generation")
    assert card == "\n# told\n"

    (tmp_path / "plots").mkdir()
    ours = run("inference", f"bundle={told_bundle}", "seed=3", "output=plots/ours.png")
    theirs = run("inference", "bundle=hf://me/faces@main", "seed=3", "output=plots/theirs.png")
    assert (ours.returncode, theirs.returncode) == (0, 0), theirs.stderr
    assert (tmp_path / "plots/ours.png").read_bytes() == (tmp_path / "plots/theirs.png").read_bytes()
    assert hub.fetched == len(files)

    hub.shutdown()
    again = run("inference", "bundle=hf://me/faces@main", "seed=3", "output=plots/again.png", HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert hub.fetched == len(files)


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("inference", ["bundle=hf://me/nothing"], "hf://me/nothing is not on the hub, or private; check the name"),
        ("inference", ["bundle=hf://me"], "hf://me is not an address on the hub; give hf://owner/name"),
        ("push", ["bundle=vae", "repository=faces"], "repository=faces is not a name on the hub; give owner/name"),
        ("push", ["bundle=vae", "repository=me/faces"], "the hub took no upload to me/faces"),
        ("push", ["bundle=nobody", "repository=me/faces"], "no bundle 'nobody'"),
    ],
)
def test_mistakes_are_one_line(run: Any, module: str, options: list[str], message: str) -> None:
    done = run(module, *options, HF_TOKEN="hf_wrong")

    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    assert "Traceback" not in done.stderr
