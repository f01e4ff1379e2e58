"""The page as files on a static host, in Chromium, which draws by itself."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from face_generation.data.synthetic import Face, draw_face
from face_generation.errors import UserError
from face_generation.generator import Bundle, Generator, origin
from face_generation.generator.photos import read_photo
from face_generation.site import write_site


@pytest.fixture(scope="module")
def folder(told_bundle: Path, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of the shipped bundles, and of one that can be asked for attributes."""
    out = tmp_path_factory.mktemp("site") / "site"
    write_site(out, ["vae", "dcgan", str(told_bundle)], runtime)
    return out


@pytest.fixture(scope="module")
def site(folder: Path, hosting: Any) -> Iterator[str]:
    with hosting(folder) as address:
        yield address


def saved(page: Page, button: str) -> bytes:
    """The file that a button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return Path(download.value.path()).read_bytes()


def image(page: Page, button: str) -> Image.Image:
    """The picture that a button saves."""
    return Image.open(io.BytesIO(saved(page, button)))


def drawn(page: Page, bundle: str, seed: int, **options: Any) -> np.ndarray:
    """A face as the page saves it."""
    query = urlencode(options)
    page.evaluate("(hash) => (location.hash = hash)", f"#{bundle}/{seed}?{query}")
    expect(page.locator("#face-title")).to_have_text(f"Face {seed}")
    return np.asarray(image(page, "Save PNG"))


def portrait(page: Page) -> None:
    """Waits for the picture of the open face."""
    expect(page.locator("#portrait:not(.waiting)")).to_be_visible()


def assert_same(face: np.ndarray, expected: np.ndarray) -> None:
    """At most one level of difference, in at most 0.1 % of the values."""
    difference = np.abs(face.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.001


# --- the folder ------------------------------------------------------------------------------------------------------


def test_the_page_is_bound_to_its_own_host(folder: Path) -> None:
    page = (folder / "index.html").read_text()

    assert "default-src 'none'" in page
    assert "api/v1" not in page
    assert "<!--" not in page
    assert not re.search(r'(src|href)="(https?:|/)', page)


def test_the_runtime_comes_with_its_licence(folder: Path) -> None:
    assert "MIT License" in (folder / "runtime" / "LICENSE").read_text()
    assert (folder / "runtime" / "ThirdPartyNotices.txt").is_file()


def test_a_site_takes_the_place_of_a_site_only(told_bundle: Path, runtime: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    write_site(out, [str(told_bundle)], runtime)
    (out / "old").touch()
    write_site(out, [str(told_bundle)], runtime)
    assert not (out / "old").exists()

    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one").touch()
    with pytest.raises(UserError, match="is not a site; choose another folder"):
        write_site(tmp_path / "letters", [str(told_bundle)], runtime)


def test_another_runtime_is_refused(told_bundle: Path, runtime: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read .*ort.wasm.bundle.min.mjs: No such file.*; run `npm install"):
        write_site(tmp_path / "site", [str(told_bundle)], tmp_path)

    shutil.copytree(runtime / "dist", tmp_path / "dist", ignore=shutil.ignore_patterns("*.map", "*.all.*"))
    (tmp_path / "dist" / "ort.wasm.bundle.min.mjs").write_text("alert(1)")
    with pytest.raises(UserError, match="ort.wasm.bundle.min.mjs in .* is not that of onnxruntime-web"):
        write_site(tmp_path / "site", [str(told_bundle)], tmp_path)


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "letters").touch()
    mistakes = {
        "out=letters": "error: letters exists and is not a site; choose another folder, or move it away\n",
        "runtime=nowhere": "error: cannot read nowhere/dist/ort.wasm.bundle.min.mjs: No such file or directory; run ",
    }
    for option, sentence in mistakes.items():
        command = [sys.executable, "-m", "face_generation.site", option, "bundles=dcgan"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(sentence)
        assert done.stderr.count("\n") == 1


# --- the same faces --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bundle", ["vae", "dcgan"])
def test_a_seed_is_the_same_face_as_everywhere(visit: Any, bundle: str) -> None:
    page, generator = visit(f"#{bundle}/0"), Generator.load(bundle)
    portrait(page)

    assert_same(drawn(page, bundle, 0), generator.sample(1)[0])
    assert_same(drawn(page, bundle, 2**32 - 1, t=0), generator.sample(1, 2**32 - 1, 0)[0])
    edits = {"smiling": 1.5, "blond_hair": -0.75}
    assert_same(drawn(page, bundle, 42, t=0.6, **edits), generator.sample(1, 42, 0.6, edits)[0])


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["vae", "dcgan"])
def test_64_faces_are_the_same_as_everywhere(visit: Any, bundle: str) -> None:
    page, generator = visit(f"#{bundle}/0"), Generator.load(bundle)
    portrait(page)
    names = list(generator.directions)
    random = np.random.RandomState(0)
    for _ in range(64):
        seed, truncation = int(random.randint(2**32)), round(float(random.uniform(0, 1.2)), 2)
        edits = {name: round(float(random.uniform(-2, 2)), 2) for name in random.choice(names, 2, replace=False)}
        expected = generator.sample(1, seed, truncation, edits)[0]

        assert_same(drawn(page, bundle, seed, t=truncation, **edits), expected)


def test_what_is_asked_for_is_drawn_the_same(visit: Any, told_bundle: Path) -> None:
    page = visit("#vae/0")
    portrait(page)

    for where, bundle in (("told", told_bundle), ("vae", "vae")):
        expected = Generator.load(bundle).sample(1, 7, attributes={"smiling": 1, "male": -1})[0]
        assert_same(drawn(page, where, 7, **{"with": "smiling", "without": "male"}), expected)


def test_saved_pictures_say_how_they_were_drawn(visit: Any, told_bundle: Path, tmp_path: Path) -> None:
    page = visit("#told/42?t=0.6&smiling=1.5&with=male&without=smiling")
    portrait(page)
    face = saved(page, "Save PNG")
    by = {"bundle": "told", "version": Bundle.load(told_bundle).version}
    how = {"seed": 42, "truncation": 0.6, "attributes": {"male": 1, "smiling": -1}, "edits": {"smiling": 1.5}}

    assert origin.read(face) == by | {"mode": "sample"} | how
    assert Image.open(io.BytesIO(face)).text["Software"] == origin.SOFTWARE
    (tmp_path / "face.png").write_bytes(face)
    command = [sys.executable, "-m", "face_generation.inference", "same_as=face.png", "output=again.png"]
    subprocess.run([*command, f"bundle={told_bundle}"], cwd=tmp_path, check=True)
    assert_same(np.asarray(Image.open(io.BytesIO(face))), np.asarray(Image.open(tmp_path / "again.png")))

    page.get_by_role("tab", name="Morph").click()
    page.get_by_role("button", name="A random one").click()
    for button in ("Save WebP", "Save GIF"):
        animation = saved(page, button)
        assert origin.read(animation) == by
        assert origin.SYNTHETIC.encode() in animation
        assert Image.open(io.BytesIO(animation)).n_frames > 40


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_face_can_be_drawn_elsewhere(visit: Any) -> None:
    page = visit("#vae/42?t=0.6&smiling=1.5&with=young")
    portrait(page)
    page.get_by_role("button", name="Use elsewhere").click()

    command = "python -m face_generation.inference bundle=vae seed=42 truncation=0.6"
    options = "'attributes={young: 1}' 'edits={smiling: 1.5}'"
    expect(page.get_by_role("dialog").locator("code")).to_have_text(f"{command} {options}")


def test_the_model_tells_what_it_is_for(visit: Any) -> None:
    page = visit("#told/0")
    page.get_by_role("button", name="VAE", exact=True).click()

    expect(page.get_by_role("dialog").get_by_role("heading", name="What it is for, and not for")).to_be_visible()


def test_a_photo_stays_in_the_browser(visit: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    draw_face(Face.random(Random(0))).resize((700, 600)).save(photo)
    page = visit("#vae/0")
    portrait(page)
    page.get_by_role("button", name="Use a photo").click()
    expect(page.get_by_text("Your photo stays on this device.")).to_be_visible()
    page.locator("#file").set_input_files(photo)
    page.get_by_role("button", name="Redraw the square").click()

    expect(page.locator("#face-title")).to_have_text("Your photo, redrawn")
    portrait(page)
    file = saved(page, "Save PNG")
    assert origin.read(file).keys() == {"bundle", "version"}
    face = np.asarray(Image.open(io.BytesIO(file)))
    generator = Generator.load("vae")
    expected = generator.reconstruct(read_photo(photo.read_bytes(), 150, align=False)[None])[0]
    assert np.abs(face.astype(int) - expected).mean() < 3


def test_the_face_of_a_photo_is_found_in_the_browser(visit: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    scene = Image.new("RGB", (900, 700), "grey")
    scene.paste(
        draw_face(Face.random(Random(3))).resize((356, 436)).rotate(12, expand=True, fillcolor="grey"), (380, 130)
    )
    scene.save(photo)
    page = visit("#vae/0")
    portrait(page)
    page.get_by_role("button", name="Use a photo").click()
    page.locator("#file").set_input_files(photo)
    page.get_by_role("button", name="Find the face and redraw it").click()

    expect(page.locator("#face-title")).to_have_text("Your photo, redrawn")
    portrait(page)
    redrawn = np.asarray(image(page, "Save PNG"))
    expected = Generator.load("vae").reconstruct(read_photo(photo.read_bytes(), 150)[None])[0]
    assert np.abs(redrawn.astype(int) - expected).mean() < 6


def test_a_second_visit_needs_no_network(context: BrowserContext, folder: Path, hosting: Any) -> None:
    page = context.new_page()
    with hosting(folder) as address:
        page.goto(f"{address}#dcgan/3")
        portrait(page)
        assert page.evaluate("navigator.serviceWorker.ready.then(({ active }) => Boolean(active))")
    page.reload()
    portrait(page)

    assert_same(drawn(page, "dcgan", 5), Generator.load("dcgan").sample(1, 5)[0])
    assert page.evaluate("crossOriginIsolated"), "so that it may draw in threads"


@pytest.mark.parametrize("damage", [lambda file: file[:-1000], lambda file: file[:-1] + b"?"], ids=["cut", "changed"])
def test_a_damaged_network_is_refused(
    context: BrowserContext, folder: Path, hosting: Any, tmp_path: Path, damage: Any
) -> None:
    shutil.copytree(folder, tmp_path / "site")
    network = tmp_path / "site" / "bundles" / "told" / "decoder.onnx"
    network.write_bytes(damage(network.read_bytes()))
    os.utime(network, (0, 0))  # browsers keep an old file in their HTTP cache without asking for a newer one
    page = context.new_page()
    with hosting(tmp_path / "site") as address:
        page.goto(f"{address}#told/3")
        alert = page.get_by_role("alert").filter(has_text="bundles/told/decoder.onnx is damaged or was cut off")
        expect(alert).to_be_visible()

        shutil.copy(folder / "bundles" / "told" / "decoder.onnx", network)
        alert.get_by_role("button", name="Try again").click()
        portrait(page)


def test_it_shows_how_much_of_the_model_has_come(context: BrowserContext, folder: Path, hosting: Any) -> None:
    page = context.new_page()
    page.add_init_script(
        """
        window.seen = [];
        addEventListener("DOMContentLoaded", () => {
          const bar = document.getElementById("loading-bar");
          new MutationObserver(() => seen.push([bar.value, bar.max])).observe(bar, { attributes: true });
        });
        """
    )
    with hosting(folder) as address:
        page.goto(f"{address}#vae/3")
        portrait(page)
    seen = page.evaluate("seen")
    networks = json.loads((folder / "bundles" / "catalogue.json").read_text())["files"]
    assert max(total for _, total in seen) > networks["bundles/vae/prior.onnx"]["bytes"]
    assert any(0 < loaded < total for loaded, total in seen)
    expect(page.locator("#loading")).to_be_hidden()
