"""Clients as people generate them from the OpenAPI document."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "node_modules"

USE = """
import io, json, sys, zipfile
from clients import Client
from clients.api.bundles import about, bundles, card
from clients.api.faces import (face, interpolation, interpolation_as_file, many_faces, many_faces_as_zip, random_face)
from clients.api.latents import decode, decode_as_zip, latents, latents_as_npy
from clients.api.operation import health, metrics, ready
from clients.api.photos import reconstruction, reconstruction_as_picture
from clients.api.problems import kind_of_problem, kinds_of_problems
from clients.models import *
from clients.types import File
from PIL import Image

def size(answer):
    assert answer.status_code == 200, answer
    return Image.open(io.BytesIO(answer.content)).size

def names(answer):
    assert answer.status_code == 200, answer
    return zipfile.ZipFile(io.BytesIO(answer.content)).namelist()

with Client(sys.argv[1]) as client:
    given = dict(client=client)
    told = BundleName.TOLD
    assert bundles.sync(**given).bundles[0].name == "tiny"
    assert about.sync(told, **given).latent_dim == 8
    assert card.sync(told, **given).status == 404
    edits = Strengths.from_dict({"smiling": 1})
    asked = [AttributeName.SMILING, AttributeName.MALE]
    drawn = face.sync_detailed(BundleName.TOLD, 42, FaceSuffix.PNG, truncation=0.5, with_=asked, edits=edits, **given)
    assert size(drawn) == (150, 150)
    assert size(random_face.sync_detailed(BundleName.TOLD, RandomFaceSuffix.WEBP, **given)) == (150, 150)
    order = FacesRequest(faces=[Faces(seed=1, count=3), Faces(latents=[0.0] * 8)])
    assert len(many_faces.sync(BundleName.TINY, body=order, **given).faces) == 4
    assert len(names(many_faces_as_zip.sync_detailed(BundleName.TINY, body=order, **given))) == 4
    way = InterpolationRequest(from_=Face(seed=1), to=Face(seed=2), frames=3)
    assert len(interpolation.sync(BundleName.TINY, body=way, **given).faces) == 3
    moving = interpolation_as_file.sync_detailed(BundleName.TINY, InterpolationAsFileSuffix.GIF, body=way, **given)
    assert size(moving) == (150, 150)
    assert len(latents.sync(BundleName.TINY, 7, truncation=0.5, **given).latents) == 8
    numbers = latents_as_npy.sync_detailed(BundleName.TINY, 7, **given).content
    assert len(decode.sync(BundleName.TINY, body=File(io.BytesIO(numbers)), **given).faces) == 1
    archive = decode_as_zip.sync_detailed(BundleName.TINY, body=File(io.BytesIO(numbers)), **given)
    assert names(archive) == ["0000000000.png"]
    def photo():
        return File(open(sys.argv[2], "rb"), "photo.png", "image/png")
    body = ReconstructionBody(photo=photo(), edits="{}")
    assert reconstruction.sync(BundleName.TINY, body=body, align=False, **given).found is False
    body = ReconstructionAsPictureBody(photo=photo())
    suffix = ReconstructionAsPictureSuffix.JPG
    whole = dict(body=body, align=False)
    picture = reconstruction_as_picture.sync_detailed(BundleName.TINY, suffix, **whole, **given)
    assert size(picture) == (150, 150)
    assert kind_of_problem.sync("busy", **given).status == 503
    assert len(kinds_of_problems.sync(**given)) > 10
    assert health.sync(**given).status == "alive" and ready.sync(**given).status == "ready"
    assert "face_generation_images_total" in metrics.sync(**given)
"""


def test_a_generated_client_has_every_endpoint_and_works(server: Any, tmp_path: Path) -> None:
    document = server.http.get("/api/v1/openapi.json").json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    generator = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json", "--meta", "none"]
    made = subprocess.run([*generator, "--output-path", "clients"], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    operations = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    modules = {path.stem for path in (tmp_path / "clients" / "api").glob("*/*.py")}
    assert set(operations) <= modules, made.stdout + made.stderr

    Image.fromarray(np.zeros((60, 60, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    used = subprocess.run(
        [sys.executable, "-c", USE, server.url, "photo.png"], cwd=tmp_path, capture_output=True, text=True
    )
    assert used.returncode == 0, used.stderr


@pytest.mark.skipif(not (MODULES / "openapi-fetch").is_dir(), reason="no openapi-fetch: npm ci")
def test_a_generated_typescript_client_works(server: Any, tmp_path: Path) -> None:
    document = server.http.get("/api/v1/openapi.json").json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    compiling = {"noEmit": False, "skipDefaultLibCheck": True}
    options = {"extends": str(ROOT / "tsconfig.json"), "compilerOptions": compiling, "include": ["client.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(options))
    shutil.copy(Path(__file__).with_name("client.ts"), tmp_path)
    generate = ["openapi-typescript", "openapi.json", "--output", "api.d.ts", "--default-non-nullable=false"]
    for tool, *arguments in (generate, ["tsc"]):
        command = [str(MODULES / ".bin" / tool), *arguments]
        made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
    used = subprocess.run(["node", "client.js", server.url], cwd=tmp_path, capture_output=True, text=True)
    assert used.returncode == 0, used.stderr
    called = (tmp_path / "client.ts").read_text()
    assert [path for path in document["paths"] if f'"{path}"' not in called] == []
