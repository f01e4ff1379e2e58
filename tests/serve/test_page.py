"""The page in a browser, before the service as a process: what people do there, and what must never happen."""

import io
import json
import math
import re
import shutil
import socket
import statistics
import time
import zipfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, TimeoutError, expect

from face_generation.data.synthetic import Face, draw_face
from face_generation.generator import Bundle, Generator, origin
from face_generation.generator.latents import slerp
from face_generation.generator.photos import read_photo

COUNT = 24  # faces in the grid
PICTURES = {"Variations": ("#ring .ready", 9), "Morph": ("#candidates .ready", 12)}  # that tabs show in the end
SECONDS = 120  # until what is waited for must be there, on a machine that is busy with other things as well
VAE = Bundle.load("vae")
DIM, SIZE = VAE.latent_dim, VAE.image_size
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
LINKED = math.ceil(DIM * 4 * 8 / 6)  # characters of its latent in a link: base64 of float32
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def site(serving: Any, told_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the shipped bundles, and of one that can be asked for attributes."""
    with serving(tmp_path_factory.mktemp("site"), f"bundles=[vae,dcgan,{told_bundle}]") as server:
        yield f"{server.url}/"


@pytest.fixture(scope="module")
def drawing(serving: Any, told_bundle: Path, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server whose page draws in the browser."""
    options = [f"bundles={told_bundle}", "draw=browser", f"runtime={runtime}"]
    with serving(tmp_path_factory.mktemp("drawing"), *options) as server:
        yield server


@pytest.fixture(params=["server", "browser"])
def visit_either(visit: Any, request: pytest.FixtureRequest) -> Callable[..., Page]:
    """`visit` of the page whose faces the server draws, and of the one that draws them in the browser."""
    if request.param == "server":
        return visit
    return partial(visit, address=f"{request.getfixturevalue('drawing').url}/")


def grid(page: Page) -> Locator:
    """The faces, when all are there."""
    expect(page.locator("#grid .ready")).to_have_count(COUNT)
    return page.get_by_role("list", name="Generated faces").get_by_role("link")


def portrait(page: Page) -> Locator:
    """The picture of the open face, when it is there."""
    picture = page.locator("#portrait")
    expect(picture).to_be_visible()
    expect(picture).not_to_have_class(re.compile("waiting"))
    return picture


def pixels(picture: Locator) -> str:
    """A digest of what an image shows."""
    return picture.evaluate(
        """async (image) => {
            await image.decode().catch(() => {}); // rejects where the next picture comes meanwhile
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            return new Uint8Array(await crypto.subtle.digest("SHA-256", data)).join();
        }"""
    )


def changes(picture: Locator, action: Callable[[], Any]) -> str:
    """Does something that must give another picture; returns the digest of that."""
    before = pixels(picture)
    action()
    return until(lambda: pixels(picture), lambda shown: shown != before)


def until(value: Callable[[], Any], condition: Callable[[Any], bool]) -> Any:
    """The value, as soon as it meets a condition."""
    deadline = time.monotonic() + SECONDS
    while not condition(now := value()):
        assert time.monotonic() < deadline, f"waited too long; now it is {now!r}"
        time.sleep(0.01)
    return now


def address_when(page: Page, pattern: str) -> str:
    """The page's address, which follows the sliders in a moment."""
    expect(page).to_have_url(re.compile(pattern))
    return page.url


def saved(page: Page, button: str) -> tuple[str, Image.Image]:
    """Name and contents of what a button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return download.value.suggested_filename, Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))


def fits(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# --- many faces ----------------------------------------------------------------------------------------------------


def test_a_grid_of_ordinary_faces_at_once(visit: Any) -> None:
    page = visit()

    faces = grid(page)

    expect(page.locator("#status[role=status]")).to_have_text(re.compile(f"^{COUNT} new faces"))
    first = int(re.search(r"#vae\?from=(\d+)$", page.url)[1])
    for i, image in enumerate(faces.get_by_role("img").all()):
        assert image.get_attribute("alt") == f"Generated face, seed {first + i}"
    assert len({pixels(image) for image in faces.get_by_role("img").all()}) == COUNT


def test_the_page_names_all_of_its_modules(visit: Any) -> None:
    page = visit("")
    grid(page)
    links = page.locator("link[rel=modulepreload]").evaluate_all("all => all.map(({ href }) => href)")
    resources = page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    assert set(links) == {name for name in resources if name.endswith(".js")}
    assert len(links) > 30


def test_more_faces_by_key_and_button_and_back(visit: Any) -> None:
    page = visit("#told?from=100")
    for i, action in enumerate(
        (
            lambda: page.keyboard.press("Space"),
            lambda: page.keyboard.press("n"),
            lambda: page.get_by_role("button", name="More faces").click(),
        )
    ):
        # Its address changes a moment before the page does.
        expect(grid(page).first).to_have_accessible_name(f"Generated face, seed {100 + i * COUNT}")
        action()
        expect(page).to_have_url(re.compile(f"from={100 + (i + 1) * COUNT}$"))
    grid(page)
    page.go_back()
    expect(grid(page).first).to_have_accessible_name(f"Generated face, seed {100 + 2 * COUNT}")


def test_ordinary_and_strange(visit: Any) -> None:
    page = visit("#vae?from=0")
    face = grid(page).first.get_by_role("img")

    changes(face, lambda: page.get_by_role("slider", name="How unusual").fill("0"))

    images = page.locator("#grid img").all()
    until(lambda: len({pixels(image) for image in images}), lambda kinds: kinds == 1)  # the average face
    address_when(page, "t=0$")


def test_picks_the_model_and_reads_its_card(visit: Any) -> None:
    page = visit("#vae?from=0")
    face = grid(page).first.get_by_role("img")

    changes(face, lambda: page.get_by_label("Model", exact=True).select_option("DCGAN"))
    address_when(page, r"#dcgan\?from=0$")
    page.get_by_role("button", name="About this model").click()

    card = page.get_by_role("dialog", name="DCGAN: model card")
    expect(card.get_by_role("heading", name="What it is for, and not for")).to_be_visible()
    expect(card.get_by_role("columnheader", name="real faces")).to_be_attached()
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()


def test_faces_that_are_asked_for(visit: Any, told_bundle: Path) -> None:
    page = visit("#told?from=201")
    face = grid(page).first.get_by_role("img")
    seen = [pixels(face)]

    for press in ("Smiling: no preference", "Male: no preference", "Male: wanted"):
        seen.append(changes(face, lambda press=press: page.get_by_role("button", name=press).click()))
    grid(page)
    address_when(page, r"#told\?from=201&with=smiling&without=male$")
    expect(page.locator("#status")).to_have_text(re.compile("^24 new faces"))
    assert len(set(seen)) == 4
    expect(page.get_by_role("button", name=re.compile("Blurry"))).to_have_count(0)  # it is not offered

    grid(page).first.click()
    picture = portrait(page)
    expect(page.get_by_text("Asked for: with Smiling; without Male.")).to_be_visible()
    link = address_when(page, r"#told/201\?with=smiling&without=male&v=\w+$")
    name, file = saved(page, "Save PNG")
    asked = {"smiling": 1, "male": -1}
    assert name == "told-201.png"
    assert np.array_equal(file, Generator.load(told_bundle).sample(1, 201, attributes=asked)[0])
    assert pixels(portrait(visit(f"#{urlsplit(link).fragment}"))) == pixels(picture)

    page.get_by_role("tab", name="Variations").click()
    expect(page.locator("#ring .ready")).to_have_count(9)
    changes(picture, lambda: page.get_by_role("button", name="Variation 3").click())
    address_when(page, r"#told/201\?with=smiling&without=male&toward=\d+&amount=0.25&v=")
    page.get_by_role("button", name="Another face").click()
    address_when(page, r"#told/\d+\?with=smiling&without=male&v=")

    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Male: not wanted")).to_be_visible()
    page.get_by_role("button", name="Clear all").click()
    expect(page.get_by_role("button", name="Smiling: no preference")).to_be_focused()
    address_when(page, r"#told\?from=201$")
    until(lambda: pixels(face), lambda shown: shown == seen[0])


def test_a_model_that_cannot_be_asked_says_so(visit: Any) -> None:
    page = visit("#told?from=5&with=male")
    grid(page)
    page.get_by_label("Model", exact=True).select_option("DCGAN")

    expect(page.get_by_text("asks for something that DCGAN does not offer")).to_be_visible()
    expect(page.get_by_role("group", name="What should they have?")).to_be_hidden()
    address_when(page, r"#dcgan\?from=5$")


# --- one face ------------------------------------------------------------------------------------------------------


def test_edits_are_live_and_the_link_keeps_them(visit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    page = visit("#vae?from=42")
    grid(page).first.click()
    picture = portrait(page)
    slider = page.get_by_role("slider", name="Smile")
    slider.focus()
    page.evaluate(
        """() => {
            window.times = [];
            const portrait = document.getElementById("portrait");
            document.addEventListener("input", () => {
                const start = performance.now();
                const done = () => requestAnimationFrame(() => times.push(performance.now() - start));
                portrait.addEventListener("load", done, { once: true });
            }, { capture: true });
        }"""
    )

    for _ in range(20):
        changes(picture, lambda: page.keyboard.press("ArrowRight"))
    milliseconds = page.evaluate("times")
    with capsys.disabled():
        print(
            f"\n  slider to picture: median {statistics.median(milliseconds):.0f} ms, most {max(milliseconds):.0f} ms"
        )

    expect(slider).to_have_value("1")
    link = address_when(page, r"#vae/42\?smiling=1&v=[0-9a-f]{12}$")
    name, file = saved(page, "Save PNG")
    generator = Generator.load("vae")
    expected = generator.decode(generator.directions.move(generator.latents(1, seed=42), {"smiling": 1.0}))[0]
    assert name == "vae-42.png"
    assert np.array_equal(file, expected), "as face_generation.inference draws it"
    assert pixels(portrait(visit(urlsplit(link).fragment.join(("#", ""))))) == pixels(picture)


def test_edits_are_taken_back(visit: Any) -> None:
    page = visit("#vae/7?smiling=2&blond_hair=-1.5")
    picture = portrait(page)
    page.get_by_text("More attributes").click()
    smile, blond = (page.get_by_role("slider", name=name, exact=True) for name in ("Smile", "Blond"))
    expect(smile).to_have_value("2")

    changes(picture, lambda: page.get_by_role("button", name="Reset Smile").click())
    expect(smile).to_have_value("0")
    changes(picture, blond.dblclick)
    expect(blond).to_have_value("0")
    smile.fill("1")
    page.get_by_text("Unnamed directions").click()
    changes(picture, lambda: page.get_by_role("slider", name="Direction 1").fill("2"))
    address_when(page, "smiling=1&principal_1=2&v=")
    page.get_by_role("button", name="Reset all").click()

    address_when(page, r"#vae/7\?v=\w+$")
    until(lambda: pixels(picture), lambda shown: shown == pixels(portrait(visit("#vae/7"))))


def test_variations_lead_on_and_back(visit: Any) -> None:
    page = visit("#vae/7?smiling=1")
    picture = portrait(page)
    before = pixels(picture)
    page.get_by_role("tab", name="Variations").click()
    ring = page.locator("#ring .ready img")
    expect(ring).to_have_count(9)
    assert len({pixels(image) for image in ring.all()}) == 9

    first = changes(picture, lambda: page.get_by_role("button", name="Variation 3").click())
    address_when(page, r"#vae/7\?toward=\d+&amount=0.25&smiling=1&v=")
    expect(page).to_have_title(re.compile("25 % toward"))
    expect(page.locator("#ring")).to_have_attribute("aria-busy", "false")
    changes(ring.nth(0), lambda: page.get_by_role("slider", name="How different").fill("0.5"))
    expect(page.locator("#ring")).to_have_attribute("aria-busy", "false")
    changes(picture, lambda: page.get_by_role("button", name="Variation 5").click())
    address_when(page, rf"#vae/latents\?z=[\w-]{{{LINKED}}}&toward=\d+&amount=0.5&smiling=1&v=")

    page.go_back()
    until(lambda: pixels(picture), lambda shown: shown == first)
    page.go_back()
    until(lambda: pixels(picture), lambda shown: shown == before)


def test_morphs_and_saves_the_animation(visit_either: Any) -> None:
    by_link = visit_either("#told/42")  # from the grid, its tile is shown until it is drawn
    before = pixels(portrait(by_link))
    page = visit_either("#told?from=42")
    grid(page).first.click()
    picture = portrait(page)
    page.get_by_role("tab", name="Morph").click()

    changes(picture, lambda: page.get_by_role("button", name="Generated face, seed 45").click())
    address_when(page, r"#told/42\?toward=45&amount=0.5&v=")
    slider = page.get_by_role("slider", name="How far toward the other face")
    steps = [changes(picture, lambda share=share: slider.fill(share)) for share in ("0.25", "0.75", "1")]
    assert len(set(steps)) == 3
    slider.fill("0")
    until(lambda: pixels(picture), lambda shown: shown == before)
    address_when(page, "toward=45&amount=0&v=")

    page.get_by_role("button", name="Play").click()
    until(lambda: pixels(picture), lambda shown: shown not in (before, *steps))
    page.get_by_role("button", name="Pause").click()
    stopped = address_when(page, r"toward=45&amount=(0\.\d+|1)&v=")
    assert pixels(portrait(visit_either(f"#{urlsplit(stopped).fragment}"))) == pixels(picture)

    for button, name in (("Save WebP", "face-42-to-45.webp"), ("Save GIF", "face-42-to-45.gif")):
        file_name, animation = saved(page, button)
        assert file_name == name
        assert animation.size == (SIZE, SIZE)
        assert animation.n_frames > 40
        assert animation.info["loop"] == 0


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_a_recorded_video_says_what_drew_it(visit: Any, kind: str) -> None:
    page = visit("#told/42?toward=45")
    page.add_init_script(f"MediaRecorder.isTypeSupported = (type) => type.includes('{kind}')")
    page.reload()
    portrait(page)
    page.get_by_role("tab", name="Morph").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(f"^Save {kind}$", re.IGNORECASE)).click()
    video = Path(download.value.path()).read_bytes()

    assert download.value.suggested_filename == f"face-42-to-45.{kind}"
    assert origin.read(video)["bundle"] == "told"
    assert origin.SYNTHETIC.encode() in video
    assert end_of_last_part(video, kind) == len(video)
    page.goto("about:blank")  # whose policy allows it to be shown
    seconds, width = page.evaluate(
        """(source) => new Promise((resolve, reject) => {
            const video = Object.assign(document.createElement("video"), { src: source });
            video.onloadeddata = () => resolve([video.duration, video.videoWidth]);
            video.onerror = () => reject(video.error.message);
        })""",
        f"data:video/{kind};base64,{b64encode(video).decode()}",
    )
    assert seconds == pytest.approx(4, abs=0.5)
    assert width == 600


def end_of_last_part(video: bytes, kind: str) -> int:
    """Where the last box of an MP4 or the segment of a WebM ends, by the sizes that they begin with."""
    at = 0
    if kind == "mp4":
        while at < len(video):
            at += int.from_bytes(video[at : at + 4])
        return at
    for _ in ("header", "segment"):
        first = video[at + 4]
        length = 9 - first.bit_length()
        at += 4 + length + int.from_bytes(video[at + 4 : at + 4 + length]) - (1 << 7 * length)
    return at


def test_morphs_toward_any_face_that_was_kept(visit: Any) -> None:
    page = visit("#vae/77?smiling=2")
    portrait(page)
    page.get_by_role("button", name="Keep among your faces").click()
    page.goto(page.url.partition("#")[0] + "#vae/42")
    expect(page.get_by_role("heading", name="Face 42")).to_be_visible()
    picture = portrait(page)
    page.get_by_role("tab", name="Morph").click()
    page.get_by_role("button", name="Choose…").click()
    changes(picture, lambda: page.get_by_role("button", name="Face 77, which you kept").click())

    link = address_when(page, rf"#vae/42\?toward=[\w-]{{{LINKED}}}&amount=0.5&v=")
    assert pixels(portrait(visit(f"#{urlsplit(link).fragment}"))) == pixels(picture)
    _, file = saved(page, "Save PNG")
    vae = Generator.load("vae")
    one, other = vae.latents(1, 42)[0], vae.directions.move(vae.latents(1, 77), {"smiling": 2.0})[0]
    assert near(file, vae.decode(slerp(one, other, 0.5)[None])[0])


def near(one: Any, other: Any) -> bool:
    """Whether pictures are the same but for a level of rounding."""
    return np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max() <= 1


def test_mixes_faces_by_their_shares(visit_either: Any, told_bundle: Path) -> None:
    page = visit_either("#told/4")
    picture = portrait(page)
    start = pixels(picture)
    page.get_by_role("tab", name="Mix").click()
    page.get_by_role("button", name="Add a face").click()
    page.get_by_label("By its number").fill("77")
    changes(picture, lambda: page.get_by_role("button", name="Choose", exact=True).click())
    address_when(page, r"#told/latents\?z=[\w-]{43}&v=")
    _, file = saved(page, "Save PNG")
    told = Generator.load(told_bundle)
    assert near(file, told.decode(slerp(*(told.latents(1, seed)[0] for seed in (4, 77)), 0.5)[None])[0])

    changes(picture, lambda: page.get_by_role("slider", name="Face 77").fill("0"))
    until(lambda: pixels(picture), lambda shown: shown == start)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("slider", name="Face 77")).to_have_value("1")


# --- what people keep, and take back -------------------------------------------------------------------------------


def test_opens_the_face_of_a_number(visit: Any) -> None:
    page = visit("#vae?from=0&t=0.5")
    grid(page)
    number = page.get_by_label("Face number")
    number.fill("4294967296")
    number.press("Enter")
    expect(page.get_by_text("is a whole number from 0 to 4294967295")).to_be_visible()
    number.fill("4242")
    number.press("Enter")
    portrait(page)
    address_when(page, r"#vae/4242\?t=0.5&v=")


def test_changes_are_undone_and_made_again(visit: Any) -> None:
    page = visit("#vae/7")
    picture = portrait(page)
    before = pixels(picture)
    undo, redo = (page.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    expect(undo).to_be_disabled()
    changed = changes(picture, lambda: page.get_by_role("slider", name="Smile").fill("2"))
    expect(redo).to_be_disabled()

    undo.click()
    until(lambda: pixels(picture), lambda shown: shown == before)
    expect(page.get_by_role("slider", name="Smile")).to_have_value("0")
    page.keyboard.press("Control+Shift+Z")
    until(lambda: pixels(picture), lambda shown: shown == changed)
    address_when(page, "smiling=2")


def test_shows_the_face_before_its_edits(visit: Any) -> None:
    before = pixels(portrait(visit("#vae/7")))
    page = visit("#vae/7?smiling=2")
    picture = portrait(page)
    after = pixels(picture)
    button = page.get_by_role("button", name="Before")

    button.click()
    until(lambda: pixels(picture), lambda shown: shown == before)
    expect(button).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("b")
    until(lambda: pixels(picture), lambda shown: shown == after)
    address_when(page, "smiling=2")


def test_surprises_with_edits_that_can_be_undone(visit: Any) -> None:
    page = visit("#vae/7")
    picture = portrait(page)
    before = pixels(picture)
    changes(picture, lambda: page.get_by_role("button", name="Surprise me").click())
    assert 2 <= len(re.findall(r"[a-z_]+=-?\d", address_when(page, r"\?(?!v=)\w+="))) <= 5
    page.keyboard.press("Control+z")
    until(lambda: pixels(picture), lambda shown: shown == before)


def test_favourites_and_history_stay_in_the_browser(visit: Any, tmp_path: Path) -> None:
    page = visit("#vae/7?smiling=1")
    portrait(page)
    page.get_by_role("button", name="Keep among your faces").click()
    expect(page.get_by_text("Kept among your faces")).to_be_visible()
    until(lambda: page.evaluate("localStorage.getItem('recent')"), bool)
    page.reload()
    expect(page.get_by_role("button", name="Keep among your faces")).to_have_attribute("aria-pressed", "true")

    page.get_by_role("link", name="Your faces").click()
    expect(page.get_by_role("heading", name="Your faces")).to_be_focused()
    for name in ("Favourites", "Recently viewed"):
        kept = page.get_by_role("list", name=name)
        expect(kept.locator(".ready")).to_have_count(1)
        expect(kept.get_by_role("link")).to_have_attribute("href", re.compile(r"#vae/7\?smiling=1&v="))
    with page.expect_download() as download:
        page.get_by_role("button", name="Save all as ZIP").click()
    (name, picture), *others = pictures_of(download.value.path())
    assert (name, others) == ("vae-7.png", [])
    assert np.array_equal(picture, Generator.load("vae").sample(1, 7, edits={"smiling": 1.0})[0])

    page.get_by_role("button", name="Forget these").click()
    page.get_by_role("list", name="Favourites").hover()
    page.get_by_role("button", name="Forget: Face 7 of VAE").click()
    expect(page.get_by_text("There are none yet")).to_be_visible()
    page.reload()
    expect(page.get_by_text("There are none yet")).to_be_visible()


def pictures_of(path: str | Path) -> list[tuple[str, Image.Image]]:
    """Names and pictures in a ZIP archive, which must be whole."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return [(name, Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()]


def test_saves_all_faces_of_the_grid(visit: Any) -> None:
    page = visit("#vae?from=100")
    grid(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save all as ZIP").click()
    assert download.value.suggested_filename == "vae-100-to-123.zip"
    files = pictures_of(download.value.path())
    assert [name for name, _ in files] == [f"vae-{seed}.png" for seed in range(100, 124)]
    assert np.array_equal(files[7][1], Generator.load("vae").sample(1, 107)[0])


def test_says_how_the_api_draws_the_face(visit: Any) -> None:
    page = visit("#vae/5?t=0.5&toward=6&amount=0.5&smiling=1.5")
    portrait(page)
    page.get_by_role("button", name="Use by API").click()
    dialog = page.get_by_role("dialog", name="Draw this face by API")
    address = dialog.get_by_role("region", name="The picture’s address").inner_text()
    expect(dialog.get_by_role("region", name="On a command line")).to_have_text(f"curl -o vae-5.png '{address}'")
    picture = Image.open(io.BytesIO(httpx.get(address).content))
    page.keyboard.press("Escape")
    assert np.array_equal(picture, saved(page, "Save PNG")[1])


# --- a photo -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A drawn face, turned and somewhere in a larger photo, and where its eyes are there."""
    face = draw_face(Face.random(Random("page")))
    scale, angle, corner = 3, 12, (420, 260)
    large = face.resize((face.width * scale, face.height * scale), Image.Resampling.BICUBIC)
    picture = Image.new("RGB", (1400, 1300), (120, 150, 170))
    picture.paste(large, corner)
    picture = picture.rotate(angle, Image.Resampling.BICUBIC, fillcolor=(120, 150, 170))
    turn, middle = np.exp(-1j * np.radians(angle)), complex(700, 650)
    eyes = [complex(88.5 + side * 19.5 + 0.5, 111.5) * scale + complex(*corner) for side in (-1, 1)]
    path = tmp_path_factory.mktemp("photos") / "photo.jpg"
    picture.save(path, quality=95)
    buffer = io.BytesIO()
    face.save(buffer, "PNG")
    square = read_photo(buffer.getvalue(), SIZE, align=False).astype(float)
    return {"path": path, "eyes": [(eye - middle) * turn + middle for eye in eyes], "square": square}


def align(page: Page, photo: dict[str, Any]) -> None:
    """Chooses the photo and taps both eyes; it lies in the square as high as that, its middle in the middle."""
    page.get_by_role("button", name="Use a photo").click()
    page.locator("#file").set_input_files(photo["path"])
    expect(page.get_by_role("dialog", name="Where is the face?")).to_be_visible()
    stage = page.locator("#stage")
    side = stage.bounding_box()["width"]
    for eye in photo["eyes"]:
        x, y = ((eye.real - 50) / 1300 * side, eye.imag / 1300 * side)
        stage.click(position={"x": x, "y": y})


def test_a_photo_is_aligned_redrawn_edited_and_linked(visit: Any, photo: dict[str, Any]) -> None:
    page = visit("#vae/1")
    portrait(page)
    align(page, photo)
    expect(page.get_by_text("Your photo is never stored.")).to_be_visible()
    page.get_by_role("button", name="Redraw the square").click()

    picture = portrait(page)
    original = page.get_by_role("img", name="Your photo, as the model saw it")
    expect(original).to_be_visible()
    seen = original.evaluate(
        """async (image) => {
            await image.decode();
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            canvas.getContext("2d").drawImage(image, 0, 0);
            return canvas.toDataURL().split(",")[1];
        }"""
    )
    difference = np.abs(decoded(seen) - photo["square"])[40:120, 30:120].mean()
    turned = np.abs(decoded(seen)[:, ::-1] - photo["square"])[40:120, 30:120].mean()
    assert difference < 5 < turned, "the eyes are where CelebA has them"

    changes(picture, lambda: page.get_by_role("slider", name="Smile").fill("2"))
    expect(original).to_be_visible()
    link = address_when(page, rf"#vae/latents\?z=[\w-]{{{LINKED}}}&smiling=2&v=\w{{12}}$")
    other = visit(f"#{urlsplit(link).fragment}")
    assert pixels(portrait(other)) == pixels(picture)
    expect(other.get_by_role("img", name="Your photo, as the model saw it")).to_be_hidden()


def decoded(base64: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(b64decode(base64))).convert("RGB"), dtype=float)


def test_a_dropped_photo_is_moved_by_keys_wheel_and_sliders(visit: Any, photo: dict[str, Any]) -> None:
    page = visit("#dcgan/1")
    portrait(page)
    page.evaluate(
        """(content) => {
            const dataTransfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            dataTransfer.items.add(new File([bytes], "photo.jpg", { type: "image/jpeg" }));
            for (const kind of ["dragover", "drop"])
                document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        b64encode(photo["path"].read_bytes()).decode(),
    )
    stage, zoom, turn = page.locator("#stage"), page.get_by_label("Zoom"), page.get_by_label("Turn")
    expect(stage).to_be_focused()
    expect(page.get_by_text("DCGAN cannot use photos")).to_be_visible()

    def drawing() -> str:
        return stage.evaluate("canvas => canvas.toDataURL()")

    seen = {drawing()}
    for key in ("ArrowLeft", "ArrowDown", "+", "."):
        page.keyboard.press(key)
        seen.add(drawing())
    assert float(zoom.input_value()) > 0
    assert float(turn.input_value()) > 0
    stage.hover()
    page.mouse.wheel(0, -200)
    until(lambda: float(zoom.input_value()), lambda value: value > 0.3)
    seen.add(drawing())
    page.mouse.down()
    page.mouse.move(300, 300, steps=3)
    page.mouse.up()
    seen.add(drawing())
    turn.fill("-20")
    seen.add(drawing())
    assert len(seen) == 8
    page.get_by_role("button", name="Redraw the square").click()
    portrait(page)
    address_when(page, "#vae/latents")


def test_what_is_no_photo_is_refused_kindly(visit: Any, tmp_path: Path) -> None:
    page = visit("#vae/1")
    portrait(page)
    page.get_by_role("button", name="Use a photo").click()
    (tmp_path / "photo.jpg").write_bytes(b"not a photo")
    page.locator("#file").set_input_files(tmp_path / "photo.jpg")
    dialog = page.get_by_role("dialog", name="Use a photo")
    expect(dialog.get_by_text("cannot read that file as a picture")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("cannot read that file as a picture")).to_be_visible()


def test_the_face_of_a_photo_is_found(visit: Any) -> None:
    page = visit("#vae/1")
    portrait(page)
    page.get_by_role("button", name="Use a photo").click()
    page.locator("#file").set_input_files(VAE.folder / "preview.jpg")
    page.get_by_role("button", name="Find the face and redraw it").click()
    expect(page.get_by_role("img", name="Your photo, as the model saw it")).to_be_visible()
    address_when(page, "#vae/latents")


def test_a_photo_without_a_face_says_so_where_it_is_seen(visit_either: Any, tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), (90, 120, 90)).save(tmp_path / "meadow.png")
    page = visit_either("#told/1", refused=True)
    portrait(page)
    page.get_by_role("button", name="Use a photo").click()
    page.locator("#file").set_input_files(tmp_path / "meadow.png")
    page.get_by_role("button", name="Find the face and redraw it").click()
    expect(page.get_by_role("dialog").get_by_text("No face was found")).to_be_visible()


def test_a_photo_that_the_browser_cannot_show_is_sent(visit: Any) -> None:
    page = visit("#vae/1", refused=True)
    portrait(page)
    page.get_by_role("button", name="Use a photo").click()
    page.locator("#file").set_input_files(Path(__file__).parents[1] / "generator" / "synthetic.heic")
    dialog = page.get_by_role("dialog", name="Use a photo")
    expect(dialog.get_by_text("No face was found")).to_be_visible()  # it is a small one
    expect(dialog.get_by_role("button", name="Choose a photo")).to_be_enabled()


# --- drawn in the browser ------------------------------------------------------------------------------------------


def test_a_page_that_draws_asks_the_server_for_no_face(visit: Any, drawing: Any, told_bundle: Path) -> None:
    page = visit("#told/5?smiling=1", address=f"{drawing.url}/")
    portrait(page)

    assert near(saved(page, "Save PNG")[1], Generator.load(told_bundle).sample(1, 5, edits={"smiling": 1.0})[0])
    assert page.evaluate("crossOriginIsolated"), "so that it may draw in threads"
    asked = [line["path"] for line in drawing.log() if line["event"] == "request"]
    assert "/bundles/told/decoder.onnx" in asked
    assert not [path for path in asked if path.startswith("/api/")]


def test_what_pages_draw_with_is_kept_and_compressed(drawing: Any, told_bundle: Path) -> None:
    files = drawing.http.get("/bundles/catalogue.json").json()["files"]
    path = "bundles/told/decoder.onnx"
    answers = [drawing.http.get(f"/{path}?{query}") for query in (files[path]["sha256"][:12], "another")]

    assert {answer.content for answer in answers} == {(told_bundle / "decoder.onnx").read_bytes()}
    assert ["immutable" in answer.headers["cache-control"] for answer in answers] == [True, False]
    runtime = drawing.http.get("/runtime/ort-wasm-simd-threaded.wasm")
    assert (runtime.headers["content-type"], runtime.headers["content-encoding"]) == ("application/wasm", "gzip")
    assert int(runtime.headers["content-length"]) < len(runtime.content) / 3
    assert drawing.http.get("/bundles/told/nothing.onnx").status_code == 404


def test_visitors_who_read_slowly_hold_little(drawing: Any) -> None:
    head = b"GET /runtime/ort-wasm-simd-threaded.wasm HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\n\r\n"

    def memory() -> int:
        status = Path(f"/proc/{drawing.process.pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])

    before = memory()
    with ExitStack() as stack:
        for _ in range(30):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", drawing.port))
            client.sendall(head)
            assert client.recv(12) == b"HTTP/1.1 200"
        assert drawing.http.get("/health").status_code == 200
        assert memory() - before < 50e6  # 30 of these files are 430 MB


# --- links ---------------------------------------------------------------------------------------------------------


DAMAGED = {
    "#nobody/12": "There is no model “nobody” here. The models are VAE, DCGAN, told.",
    "#vae/-1": "A face’s number is from 0 to 4294967295; “-1” is not.",
    "#vae/4294967296": "A face’s number is from 0 to 4294967295",
    "#vae/1/2": "It has too many parts.",
    "#vae/1?t=eleven": "“t” cannot be “eleven”; it is 0 or more.",
    "#vae/1?t=11": "“t” cannot be “11”; it is from 0 to 10.",
    "#vae/1?toward=2&amount=3": "“amount” cannot be “3”; it is from 0 to 1.",
    "#vae/1?smiling=11": "“smiling” goes from -10 to 10, not to 11.",
    "#told/1?with=male&without=male": "It asks for “male”, and for faces without it.",
    "#vae/1?t=1&t=2": "It says “t” twice.",
    "#vae/latents?z=AAAA": "Its face is damaged, or cut off.",
    "#vae/latents?z=!": "Its face is damaged.",
    "#vae/latents?z=AACAPw": f"Its face has 1 numbers, and VAE draws from {DIM}.",
    "#vae/%E0%A4%A": "It is damaged.",
}


def test_a_damaged_link_says_why(visit: Any, site: str) -> None:
    page = visit("#vae/1")
    portrait(page)
    for fragment, reason in DAMAGED.items():
        page.goto(site + fragment)
        expect(page.locator("#lost-text")).to_contain_text(reason)
        expect(page.get_by_role("heading", name="This link does not lead to a face")).to_be_focused()
    page.get_by_role("link", name="See some faces").click()
    grid(page)


def test_a_link_of_another_version_or_with_other_edits_says_so(visit: Any) -> None:
    page = visit("#vae/1?smiling=1&charming=2&v=0123456789ab")
    expect(page.get_by_text("The model has changed since this link was made")).to_be_visible()
    expect(page.get_by_text("edits that VAE does not know")).to_be_visible()
    portrait(page)  # after the notices, which go after six seconds
    expect(page.get_by_role("slider", name="Smile")).to_have_value("1")


def test_copies_the_link(visit: Any) -> None:
    page = visit("#vae/1", permissions=["clipboard-read", "clipboard-write"])
    portrait(page)
    page.get_by_role("slider", name="Smile").fill("1.5")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Copied the link")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert re.search(r"/share/vae/1\?smiling=1\.5&version=\w{12}$", link)
    html = httpx.get(link).text
    preview = re.search('property="og:image" content="([^"]+)"', html)[1]
    picture = Image.open(io.BytesIO(httpx.get(preview).content))
    face = Generator.load("vae").sample(1, 1, edits={"smiling": 1.5})[0]
    assert np.abs(np.asarray(picture.resize((150, 150)), dtype=int) - face).mean() < 3

    shown = pixels(portrait(page))
    page.goto(link)
    address_when(page, r"/#vae/1\?smiling=1\.5&v=\w{12}$")
    assert pixels(portrait(page)) == shown


# --- for everyone --------------------------------------------------------------------------------------------------


def test_with_the_keyboard_alone(visit: Any) -> None:
    page = visit("#vae?from=0")
    faces = grid(page)

    def tab_to(name: str) -> None:
        focus = page.locator(":focus")
        for _ in range(40):
            page.keyboard.press("Tab")
            if focus.count() and name in (focus.get_attribute("id"), focus.get_attribute("class")):
                return
        raise AssertionError(f"the tab key does not reach {name}")

    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Skip to the faces")).to_be_focused()
    tab_to("tile picture ready")
    expect(faces.nth(0)).to_be_focused()
    for key, place in (("ArrowRight", 1), ("ArrowDown", 9), ("End", 23), ("Home", 0), ("ArrowLeft", 0)):
        page.keyboard.press(key)
        expect(faces.nth(place)).to_be_focused()
    outline = faces.nth(0).evaluate("face => getComputedStyle(face).outlineStyle")
    assert outline == "solid", "the focus is seen"

    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Face 1")).to_be_focused()
    picture = portrait(page)
    tab_to("tab-edits")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Variations", selected=True)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    tab_to("edit-smiling")
    changes(picture, lambda: page.keyboard.press("PageUp"))
    changes(picture, lambda: page.keyboard.press("Delete"))
    expect(page.get_by_role("slider", name="Smile")).to_have_value("0")
    page.keyboard.press("Escape")
    expect(faces.nth(1)).to_be_focused()

    page.keyboard.press("?")
    help_dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(help_dialog).to_be_visible()
    page.get_by_label("Single-key shortcuts are on").uncheck()
    page.keyboard.press("Escape")
    expect(help_dialog).to_be_hidden()
    page.keyboard.press("?")
    expect(help_dialog).to_be_hidden()


def test_on_a_phone(visit: Any, photo: dict[str, Any]) -> None:
    page = visit("#vae?from=0", **PHONE)
    grid(page).nth(4).scroll_into_view_if_needed()
    assert fits(page)
    grid(page).nth(4).tap()
    portrait(page)
    for tab in ("Variations", "Morph", "Mix", "Edit"):
        page.get_by_role("tab", name=tab).tap()
        expect(page.get_by_role("tabpanel", name=tab)).to_be_visible()
        assert fits(page)
    page.get_by_text("More attributes").scroll_into_view_if_needed()
    expect(page.locator("#portrait")).to_be_in_viewport(ratio=0.9)
    page.get_by_role("button", name="Use a photo").tap()
    expect(page.get_by_role("button", name="Take a photo")).to_be_visible()
    page.locator("#file").set_input_files(photo["path"])
    expect(page.locator("#stage")).to_be_in_viewport(ratio=1)
    assert fits(page)
    touch = page.context.new_cdp_session(page)
    for event, apart in (("touchStart", 30), ("touchMove", 45), ("touchMove", 60), ("touchEnd", 0)):
        fingers = [{"x": 180 + side * apart, "y": 320, "id": 1 + side} for side in (-1, 1)] if apart else []
        touch.send("Input.dispatchTouchEvent", {"type": event, "touchPoints": fingers})
    zoom = until(lambda: float(page.get_by_label("Zoom").input_value()), lambda value: value > 0.8)
    assert zoom == pytest.approx(1, abs=0.05), "twice as far apart is twice as large"


def test_chips_on_a_phone(visit_either: Any) -> None:
    page = visit_either("#told?from=0", **PHONE)
    face = grid(page).first.get_by_role("img")
    chip = page.get_by_role("button", name=re.compile("^Male"))
    changes(face, chip.tap)
    expect(chip).to_have_accessible_name("Male: wanted")
    assert fits(page)


def test_at_twice_the_size(visit: Any) -> None:
    page = visit("#vae/1", viewport={"width": 640, "height": 450}, device_scale_factor=2)
    portrait(page)
    assert fits(page)
    page.keyboard.press("Escape")
    grid(page)
    assert fits(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("forced", ["none", "active"])
def test_text_stands_out(visit: Any, scheme: str, forced: str) -> None:
    """Each text's contrast with what is behind it, as WCAG 2.2 AA asks for."""
    page = visit(
        "#told?from=0&with=smiling&without=male", color_scheme=scheme, forced_colors=forced, reduced_motion="reduce"
    )
    grid(page)
    assert faint(page) == []
    page.goto(page.url.partition("#")[0] + "#vae?from=0")
    expect(page.locator("#model")).to_have_value("vae")
    grid(page)
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 384) == (scheme == "dark")

    assert faint(page) == []
    grid(page).first.click()
    portrait(page)
    for tab in ("Edit", "Variations", "Morph", "Mix"):
        page.get_by_role("tab", name=tab).click()
        assert faint(page) == []
    page.keyboard.press("?")
    assert faint(page) == []


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: npm ci")
@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, {"forced_colors": "active"}, PHONE], ids=str)
def test_axe_finds_nothing_in_any_view(visit: Any, look: dict[str, Any]) -> None:
    page = visit("#vae?from=0", reduced_motion="reduce", **look)
    page.evaluate(AXE.read_text(encoding="utf-8"))

    def check(what: str) -> None:
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        assert [(what, each["id"], [node["target"] for node in each["nodes"]]) for each in found] == []

    grid(page)
    check("gallery")
    grid(page).first.click()
    portrait(page)
    for tab in ("Edit", "Variations", "Morph", "Mix"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel", name=tab)).to_be_visible()
        if tab in PICTURES:
            where, count = PICTURES[tab]
            expect(page.locator(where)).to_have_count(count)
        check(tab)
    for button in ("Use by API", "Add a face", "Use a photo", "Help and keyboard shortcuts"):
        page.get_by_role("button", name=button).click()
        check(button)
        page.keyboard.press("Escape")
    page.get_by_role("button", name="Keep among your faces").click()
    page.get_by_role("link", name="Your faces").click()
    expect(page.locator("#favourites .ready")).to_be_visible()
    check("yours")


def faint(page: Page) -> list[str]:
    """Texts that can be seen, with less contrast than 4.5, or 3 for large ones."""
    return page.evaluate(
        """() => {
            const parse = (text) => text.match(/[\\d.]+/g).map(Number);
            const luminance = (colour) => {
                const [r, g, b] = colour.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const over = (top, below) => {
                const alpha = top[3] ?? 1;
                return below.map((value, i) => alpha * top[i] + (1 - alpha) * value);
            };
            const found = [];
            const forced = matchMedia("(forced-colors: active)").matches;
            document.body.insertAdjacentHTML("beforeend", "<i class='unseen'></i>");
            const probe = document.body.lastElementChild;
            probe.style.background = "Canvas";
            const canvas = parse(getComputedStyle(probe).backgroundColor);
            probe.remove();
            for (const element of document.querySelectorAll("body *")) {
                const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
                const hidden = !element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
                if (!words || hidden || element.closest(".unseen, [inert], :disabled, noscript, .tile")) continue;
                const line = [];
                for (let at = element; at; at = at.parentElement) line.unshift(at);
                let ground = [255, 255, 255];
                let opacity = 1;
                for (const at of line) {
                    const style = getComputedStyle(at);
                    ground = over(parse(style.backgroundColor), ground);
                    opacity *= style.opacity;
                }
                const style = getComputedStyle(element);
                if (forced && style.forcedColorAdjust !== "none") ground = canvas; // which is drawn behind the text
                const ink = over([...parse(style.color).slice(0, 3), opacity], ground);
                const [low, high] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
                const contrast = (high + 0.05) / (low + 0.05);
                if (contrast < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5))
                    found.push(`${element.textContent.trim().slice(0, 30)}: ${contrast.toFixed(2)}`);
            }
            return found;
        }"""
    )


# --- when not all is well ------------------------------------------------------------------------------------------


def test_asks_for_the_key_under_a_prefix(visit: Any, serving: Any, tmp_path: Path, tiny_bundle: Path) -> None:
    with serving(
        tmp_path, f"bundles={tiny_bundle}", "prefix=/some/where", FACE_GENERATION_API_KEY="open sesame"
    ) as server:
        page = visit(address=f"{server.url}/some/where/", refused=True)
        for key in ("wrong", "open sesame"):
            page.get_by_label("API key").fill(key)
            page.get_by_role("button", name="Continue").click()
            if key == "wrong":
                expect(page.get_by_text("That key is not right")).to_be_visible()
        grid(page).first.click()
        portrait(page)
        page.reload()
        portrait(page)


def test_waits_for_a_busy_server(visit: Any, serving: Any, tmp_path: Path, tiny_bundle: Path) -> None:
    with serving(
        tmp_path, f"bundles={tiny_bundle}", *"workers=1 limits.queue=2 limits.frames=2 limits.faces=1".split()
    ) as server:
        enough = Event()

        def draw_without_end(seed: int) -> None:
            while not enough.is_set():
                httpx.get(f"{server.url}/api/v1/tiny/faces/{seed}.png", timeout=SECONDS)
                seed += 8

        others = [Thread(target=draw_without_end, args=(seed,)) for seed in range(8)]
        for other in others:
            other.start()
        try:
            page = visit(address=f"{server.url}/", refused=True)
            expect(page.get_by_text("The server is busy")).to_be_visible()
        finally:
            enough.set()
            for other in others:
                other.join()
        grid(page)


DRAWING = re.compile(r"/faces")  # requests for pictures


@pytest.mark.parametrize("by", ["itself", "button"])
def test_waits_for_a_server_that_is_away(visit: Any, by: str) -> None:
    page = visit("#told?from=0", refused=True)
    grid(page)
    if by == "itself":
        page.context.set_offline(True)
    else:
        page.route(DRAWING, lambda route: route.abort())
    page.keyboard.press("n")
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text("The server does not answer.")
    if by == "itself":
        page.context.set_offline(False)
    else:
        page.unroute(DRAWING)
        page.get_by_role("button", name="Try again").click()
    grid(page)
    expect(banner).to_be_hidden()


def test_asks_again_where_that_helps(visit: Any) -> None:
    page = visit("#told?from=0", refused=True)
    grid(page)
    seen: set[str] = set()

    def fail_once(route: Any) -> None:
        if (url := route.request.url) in seen:
            route.continue_()
            return
        route.fulfill(status=(429, 502, 503, 504)[len(seen) % 4], body="<html>a proxy’s page</html>")
        seen.add(url)

    page.route(DRAWING, fail_once)
    with page.expect_response(DRAWING):  # until then, the grid is the one before
        page.keyboard.press("n")
    grid(page)
    assert len(seen) == COUNT
    expect(page.get_by_role("alert")).to_be_hidden()


def test_pictures_that_fail_can_be_asked_for_again(visit: Any) -> None:
    page = visit("#told?from=0", refused=True)
    grid(page)
    page.route(DRAWING, lambda route: route.fulfill(status=500, json={"detail": "the lamp is broken"}))
    page.keyboard.press("n")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The pictures could not be loaded. The lamp is broken.")
    expect(page.locator("#grid .failed")).to_have_count(COUNT)
    page.unroute(DRAWING)
    page.get_by_role("button", name="Try again").click()
    grid(page).first.click()
    portrait(page)
    expect(alert).to_be_hidden()

    page.route(DRAWING, lambda route: route.fulfill(status=500))
    for tab, (shown, _) in PICTURES.items():
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel").get_by_role("alert").first).to_be_visible()
        page.unroute(DRAWING)

        def ask_again(shown: str = shown) -> int:
            with suppress(TimeoutError):  # it may go while it is aimed at
                page.get_by_role("button", name="Try again").first.click(timeout=1000)
            return page.locator(shown).count()

        until(ask_again, bool)
        page.route(DRAWING, lambda route: route.fulfill(status=500))
    page.get_by_role("tab", name="Edit").click()
    page.get_by_role("slider", name="Smile").fill("1")
    expect(page.get_by_role("alert")).to_be_visible()
    page.unroute(DRAWING)
    changes(page.locator("#portrait"), page.get_by_role("button", name="Try again").click)


def test_kept_faces_that_do_not_come_can_be_asked_for_again(visit: Any) -> None:
    page = visit("#vae/77", refused=True)
    portrait(page)
    page.get_by_role("button", name="Keep among your faces").click()
    page.get_by_role("tab", name="Mix").click()
    page.route(DRAWING, lambda route: route.fulfill(status=500))
    page.get_by_role("button", name="Add a face").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_contain_text("The pictures could not be loaded.")
    page.unroute(DRAWING)
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog.locator(".picture.ready")).to_be_visible()
    expect(dialog.get_by_role("alert")).to_be_hidden()


def test_what_fails_out_of_sight_is_said_in_sight(visit: Any) -> None:
    page = visit("#vae/42", refused=True, **PHONE)
    portrait(page)
    slider = page.get_by_role("tabpanel").get_by_role("slider").last
    slider.scroll_into_view_if_needed()
    page.route(DRAWING, lambda route: route.fulfill(status=500, json={"detail": "the lamp is broken"}))
    slider.fill("1")
    expect(page.locator("#notices")).to_contain_text("The pictures could not be loaded. The lamp is broken.")


def test_a_notice_that_comes_again_stays_longer(visit: Any) -> None:
    page = visit("#vae?from=0")
    grid(page)
    page.clock.install()
    notice = page.get_by_text("A face’s number is a whole number")
    for _ in range(2):
        page.get_by_label("Face number").fill("none")
        page.get_by_role("button", name="Open", exact=True).click()
        expect(notice).to_be_visible()
        page.clock.run_for(4000)
    expect(notice).to_be_visible()
    page.clock.run_for(3000)
    expect(notice).to_be_hidden()


def test_a_server_that_says_nothing_is_away(visit: Any) -> None:
    page = visit("#vae?from=0", refused=True)
    grid(page)
    page.clock.install()
    page.route(DRAWING, lambda route: None)
    page.keyboard.press("n")
    expect(page.locator("#grid .ready")).to_have_count(0)
    page.clock.run_for(121_000)
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
    page.unroute(DRAWING)
    page.get_by_role("button", name="Try again").click()
    grid(page)


def test_comes_to_life_when_the_api_does(visit: Any) -> None:
    page = visit("#told?from=0", refused=True)
    grid(page)
    page.route("**/api/v1/bundles", lambda route: route.fulfill(body="<html>soon</html>", content_type="text/html"))
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The server is not ready yet.")
    page.unroute("**/api/v1/bundles")
    grid(page)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_says_when_the_model_was_replaced(visit: Any, serving: Any, tmp_path: Path, tiny_bundle: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_bundle, other, ignore=shutil.ignore_patterns("directions.json"))
    about = json.loads((other / "bundle.json").read_text())
    keep = ("name", "latent_shape", "image_size", "training", "metrics", "licence")
    Bundle.write(other, **{key: about[key] for key in keep})
    with serving(tmp_path, f"bundles={tiny_bundle}") as server:
        page = visit(address=f"{server.url}/", refused=True)
        grid(page)
        server.stop()
    with serving(tmp_path, f"bundles={other}", port=server.port):
        page.keyboard.press("n")
        expect(page.get_by_role("alert")).to_contain_text("models have changed")
        page.get_by_role("button", name="Reload").click()
        grid(page)
        expect(page.get_by_role("alert")).to_be_hidden()
