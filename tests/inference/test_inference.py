import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_generation.data.annotations import read_attributes
from face_generation.data.packing import pack
from face_generation.data.splits import packed_attributes
from face_generation.generator import Generator, origin
from face_generation.generator.bundle import shipped
from face_generation.generator.latents import slerp
from face_generation.inference import __main__ as inference

COMMAND = [sys.executable, "-m", "face_generation.inference"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def draw(
    folder: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs the command in this process and returns what it prints. Its mistakes raise SystemExit."""

    def run(*options: str) -> str:
        given = any(option.startswith("bundle=") for option in options)
        bundle = [] if given else [f"bundle={tiny_bundle}"]
        monkeypatch.setattr(sys, "argv", ["inference.py", *options, *bundle])
        inference.main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def mistake(draw: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command, which must fail with status 2 and one line, and returns that line."""

    def run(*options: str) -> str:
        with pytest.raises(SystemExit) as stop:
            draw(*options)
        printed = capsys.readouterr()
        assert stop.value.code == 2
        assert printed.out == ""
        assert re.fullmatch(r"error: [^\n]+\n", printed.err)
        return printed.err.removeprefix("error: ").rstrip("\n")

    return run


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "RGB"
        return np.asarray(picture)


@pytest.mark.parametrize("name", sorted({"vae", *shipped()}))
def test_fresh_clone_draws_a_face(folder: Path, name: str) -> None:
    options = [] if name == "vae" else [f"bundle={name}"]  # vae is the default
    drawing = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=True)

    line = re.fullmatch(rf"plots/gen_example\.png: 1 face, seed (\d+), bundle {name}\n", drawing.stdout)
    assert line
    assert drawing.stderr == ""
    assert files(folder) == ["plots/gen_example.png"]
    np.testing.assert_array_equal(pixels("plots/gen_example.png"), Generator.load(name).sample(1, int(line[1]))[0])


def test_one_face(draw: Callable[..., str], folder: Path, tiny_bundle: Path) -> None:
    assert draw("seed=5") == "plots/gen_example.png: 1 face, seed 5, bundle tiny\n"
    assert files(folder) == ["plots/gen_example.png"]
    np.testing.assert_array_equal(pixels("plots/gen_example.png"), Generator.load(tiny_bundle).sample(1, 5)[0])


def test_random_seed_is_printed_and_draws_the_same_again(draw: Callable[..., str]) -> None:
    first, second = (re.findall(r"seed (\d+)", draw(f"output={name}.png"))[0] for name in "ab")
    draw(f"seed={first}", "output=c.png")

    assert first != second
    np.testing.assert_array_equal(pixels("a.png"), pixels("c.png"))
    assert (pixels("a.png") != pixels("b.png")).any()


def test_folder_of_faces(draw: Callable[..., str], folder: Path, tiny_bundle: Path) -> None:
    printed = draw("num_images=12", "seed=95", "truncation=0.5")

    assert printed == "plots/faces: 12 faces, seeds 95 to 106, bundle tiny\n"
    assert files(folder) == [f"plots/faces/{seed:010}.png" for seed in range(95, 107)]
    expected = Generator.load(tiny_bundle).sample(12, 95, 0.5)
    np.testing.assert_array_equal(np.stack([pixels(path) for path in files(folder)]), expected)


def test_grid(draw: Callable[..., str], folder: Path, tiny_bundle: Path) -> None:
    printed = draw("num_images=5", "grid=true", "seed=1")

    assert printed == "plots/gen_example.png: 5 faces, seeds 1 to 5, bundle tiny\n"
    assert files(folder) == ["plots/gen_example.png"]
    grid = pixels("plots/gen_example.png")
    assert grid.shape == (302, 454, 3)
    np.testing.assert_array_equal(grid[152:, 152:302], Generator.load(tiny_bundle).sample(1, 5)[0])


@pytest.mark.parametrize(
    ("options", "path", "form"),
    [
        (["format=jpg"], "plots/gen_example.jpg", "JPEG"),
        (["format=webp"], "plots/gen_example.webp", "WEBP"),
        (["output=face.webp"], "face.webp", "WEBP"),
        (["output=FACE.JPG"], "FACE.JPG", "JPEG"),
        (["output=face.jpeg", "format=jpg"], "face.jpeg", "JPEG"),
        (["output=deep/in/face"], "deep/in/face.png", "PNG"),
        (["output=face", "format=jpg"], "face.jpg", "JPEG"),
        (["num_images=2", "format=webp"], "plots/faces/0000000001.webp", "WEBP"),
        (["num_images=2", "output=many.faces", "format=jpg"], "many.faces/0000000000.jpg", "JPEG"),
    ],
)
def test_output_and_format(draw: Callable[..., str], options: list[str], path: str, form: str) -> None:
    draw("seed=0", *options)

    with Image.open(path) as picture:
        assert picture.format == form
        assert picture.size == (150, 150)


def test_an_edited_face(draw: Callable[..., str], tiny_bundle: Path) -> None:
    draw("seed=3", "edits={smiling: 1.5, principal_1: -2}")
    expected = Generator.load(tiny_bundle).sample(1, seed=3, edits={"smiling": 1.5, "principal_1": -2})[0]
    assert np.array_equal(pixels("plots/gen_example.png"), expected)


def test_a_strip_from_face_to_face(draw: Callable[..., str], tiny_bundle: Path) -> None:
    printed = draw("mode=interpolate", "seed=3", "to=7", "frames=5")
    assert printed == "plots/interpolation.png: 5 faces from seed 3 to seed 7, bundle tiny\n"
    generator = Generator.load(tiny_bundle)
    strip = pixels("plots/interpolation.png")
    assert strip.shape == (150, 5 * 152 - 2, 3)
    assert np.array_equal(strip[:, :150], generator.sample(1, seed=3)[0])
    assert np.array_equal(strip[:, -150:], generator.sample(1, seed=7)[0])
    halfway = slerp(generator.latents(1, 3)[0], generator.latents(1, 7)[0], 0.5)
    assert np.array_equal(strip[:, 304:454], generator.decode(halfway[None])[0])


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_an_animation_there_and_back(draw: Callable[..., str], suffix: str) -> None:
    draw("mode=interpolate", "seed=3", "to=7", "frames=5", "seconds=1", f"output=morph.{suffix}")
    with Image.open(f"morph.{suffix}") as animation:
        assert animation.n_frames == 8
        assert animation.size == (150, 150)
        assert animation.info["loop"] == 0
        animation.seek(1)
        animation.load()
        assert animation.info["duration"] == 250


def test_a_sheet_of_edits(draw: Callable[..., str], tiny_bundle: Path) -> None:
    assert "3 edits of seed 3" in draw("mode=edits", "seed=3")
    sheet = pixels("plots/edits.png")
    draw("mode=edits", "seed=3", "rows=[eyeglasses]", "output=one.png")
    one = pixels("one.png")
    assert sheet.shape[0] - one.shape[0] == 2 * 152
    generator = Generator.load(tiny_bundle)
    assert np.array_equal(one[-150:, -150:], generator.sample(1, seed=3, edits={"eyeglasses": 3})[0])


def test_a_photo_beside_its_reconstruction(draw: Callable[..., str], folder: Path, tiny_bundle: Path) -> None:
    generator = Generator.load(tiny_bundle)
    photo = generator.sample(1, seed=9)
    Image.fromarray(photo[0]).save("photo.png")
    draw("mode=reconstruct", "input=photo.png", "edits={smiling: 2}", "align=false")
    both = pixels("plots/reconstruction.png")
    assert np.array_equal(both[:, :150], photo[0])
    edited = generator.directions.move(generator.encode(photo), {"smiling": 2})
    assert np.array_equal(both[:, -150:], generator.decode(edited)[0])
    said = origin.read(Path("plots/reconstruction.png").read_bytes())
    assert said == {"bundle": "tiny", "version": generator.bundle.version, "mode": "reconstruct"}


def test_faces_that_were_asked_for(draw: Callable[..., str], told_bundle: Path) -> None:
    bundle = f"bundle={told_bundle}"
    draw("seed=3", "attributes={smiling: 1, male: -1}", bundle)
    draw("seed=3", "attributes={smiling: true, male: false}", "output=same.png", bundle)
    draw("seed=3", "attributes={smiling: true}", "mode=interpolate", "to=4", bundle)

    generator = Generator.load(told_bundle)
    expected = generator.sample(1, seed=3, attributes={"smiling": 1, "male": -1})[0]
    assert np.array_equal(pixels("plots/gen_example.png"), expected)
    assert np.array_equal(pixels("same.png"), expected)
    end = generator.sample(1, seed=4, attributes={"smiling": 1})[0]
    assert np.array_equal(pixels("plots/interpolation.png")[:, -150:], end)


def test_a_folder_of_faces_has_a_table_of_what_was_asked(
    draw: Callable[..., str], folder: Path, told_bundle: Path
) -> None:
    bundle, asked = f"bundle={told_bundle}", "attributes={smiling: 1}"
    draw("seed=5", "num_images=3", "format=jpg", asked, bundle)
    draw("seed=8", "num_images=4", "format=jpg", asked, bundle)  # as one goes on after a stop
    draw("seed=5", "num_images=7", "format=jpg", asked, "output=once", bundle)

    table = Path("plots/faces/list_attr_celeba.txt")
    lines = table.read_text().splitlines()
    assert lines[:2] == ["7", "smiling eyeglasses male blurry"]
    assert table.read_bytes() == Path("once/list_attr_celeba.txt").read_bytes()
    names, rows = read_attributes(table.name, table.read_bytes())
    assert sorted(rows) == [Path(name).name for name in files(folder) if name.startswith("plots/faces/0")]
    said = Generator.load(told_bundle).said(7, seed=5, attributes={"smiling": 1})
    assert np.array_equal(np.stack(list(rows.values())), said)
    assert (said[:, 0] == 1).all()
    assert len(np.unique(said, axis=0)) > 1

    pack(Path("once"), Path("splits"))
    columns, values = packed_attributes(Path("splits"), "train")
    assert columns == list(names)
    assert values.shape[1] == 4
    assert (values[:, 0] == 1).all()


def test_a_table_of_another_bundle_is_left_as_it_is(mistake: Callable[..., str], told_bundle: Path) -> None:
    table = Path("faces/list_attr_celeba.txt")
    table.parent.mkdir()
    table.write_text("1\nbald\n0000000004.png 1\n")

    message = mistake("seed=5", "num_images=3", "output=faces", f"bundle={told_bundle}")
    assert "list_attr_celeba.txt is of another bundle" in message
    assert table.read_text() == "1\nbald\n0000000004.png 1\n"


def test_the_face_of_a_photo_is_aligned(draw: Callable[..., str]) -> None:
    face = Generator.load("vae").sample(1, seed=3)[0]
    canvas = Image.new("RGB", (800, 600), (70, 100, 130))
    canvas.paste(Image.fromarray(face).resize((300, 300), Image.Resampling.BICUBIC), (450, 100))
    canvas.save("photo.png")
    draw("mode=reconstruct", "input=photo.png")
    difference = pixels("plots/reconstruction.png")[:, :150].astype(int) - face
    assert np.abs(difference)[40:120, 40:110].mean() < 10


def test_a_photo_without_a_face(mistake: Callable[..., str]) -> None:
    Image.new("RGB", (300, 200), "green").save("photo.png")
    assert "choose another, or take the square in its middle: align=false" in mistake(
        "mode=reconstruct", "input=photo.png"
    )


def test_several_runs_by_one_command(draw: Callable[..., str], folder: Path) -> None:
    draw("-m", "seed=1,2", "output=face_${seed}.png")

    assert {"face_1.png", "face_2.png"} <= set(files(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["num_images=0"], "the number of images must be a whole number from 1 on, not 0"),
        (["num_images=abc"], "the number of images must be a whole number from 1 on, not 'abc'"),
        (["num_images=1.5"], "the number of images must be"),
        (["num_images=null"], "the number of images must be"),
        (["seed=-1"], "the seed must be a whole number from 0 to 4294967295, not -1"),
        (["seed=4294967295", "num_images=2"], "2 images from seed 4294967295 on go past the last seed"),
        (["truncation=nan"], "the truncation must be a number from 0 to 10, not nan"),
        (["truncation=[1]"], "the truncation must be"),
        (["grid=maybe"], "grid must be true or false, not 'maybe'"),
        (["format=gif"], "unknown picture format 'gif'; use one of png, webp, jpg, jpeg"),
        (["output=face.gif"], "unknown picture format 'gif'"),
        (["output=face.png", "format=jpg"], "output=face.png and format=jpg contradict each other"),
        (["output=face.png", "num_images=2"], "output=face.png is one picture, and many were asked for"),
        (["output=.."], "output=.. is a folder; name a file in it"),
        (["num_images=1025", "grid=true"], "a grid holds 1024 faces at most"),
        (["num_images=4000000000", "seed=0"], "MB free; ask for fewer, choose another output"),
        (["mode=draw"], "unknown mode 'draw'; use one of sample, interpolate, edits, reconstruct"),
        (["edits={smilling: 1}"], "cannot edit 'smilling'; its directions are smiling, eyeglasses, principal_1"),
        (["edits={smiling: 99}"], "the strength of smiling must be from -10 to 10"),
        (["edits=smiling"], "edits are strengths by name"),
        (["mode=interpolate"], "mode=interpolate ends at the seed that to=… names"),
        (["mode=interpolate", "to=-1"], "the seed must be a whole number"),
        (["mode=interpolate", "to=1", "frames=1"], "frames must be a whole number from 2 to 100 for a strip"),
        (["mode=interpolate", "to=1", "frames=0"], "frames must be a whole number from 2 to 100 for a strip"),
        (["mode=interpolate", "to=1", "seconds=0"], "seconds must be a number above 0, up to 60, not 0"),
        (["mode=interpolate", "to=1", "seconds=inf"], "seconds must be a number above 0, up to 60, not inf"),
        (["to=1"], "to=… belongs to mode=interpolate"),
        (["input=photo.jpg"], "input=… belongs to mode=reconstruct"),
        (["attributes=smiling"], "attributes are asked for by name, such as 'attributes={smiling: 1, male: -1}'"),
        (["attributes={smiling: 1}"], "the bundle tiny cannot be asked for 'smiling'; its model takes no attributes"),
        (["mode=reconstruct", "input=a.png", "attributes={smiling: 1}"], "attributes=… is for new faces"),
        (["rows=[smiling]"], "rows=… belongs to mode=edits"),
        (["mode=edits", "rows=5"], "rows are a list of names"),
        (["mode=edits", "output=a.gif"], "unknown picture format 'gif'"),
        (["mode=edits", "rows=[bald]"], "cannot edit 'bald'"),
        (["mode=reconstruct"], "mode=reconstruct takes a photo of a face"),
        (["mode=reconstruct", "input=none.jpg"], "cannot read none.jpg: No such file or directory"),
        (["mode=reconstruct", "input=/dev/null"], "the photo is not a picture that can be read"),
        (["mode=reconstruct", "input=a.png", "align=perhaps"], "align must be true or false, not 'perhaps'"),
        (["num_imagez=3"], "Could not override 'num_imagez'; --help shows the options of inference"),
        (["seed"], "Error parsing override 'seed' missing EQUAL"),
        (["seed=${sead}"], "Interpolation key 'sead' not found"),
        (["hydra/job_logging=loud"], "Available options in 'hydra/job_logging': default disabled none stdout"),
    ],
)
def test_mistakes(mistake: Callable[..., str], folder: Path, options: list[str], message: str) -> None:
    assert message in mistake(*options)
    assert files(folder) == []


def test_unwritable_output(mistake: Callable[..., str], folder: Path) -> None:
    Path("file").write_bytes(b"mine")

    for options in (["output=file/face.png"], ["output=file/faces", "num_images=3"], ["output=file", "num_images=3"]):
        assert re.match(r"cannot write file/.*: Not a directory; choose another place", mistake(*options))
    assert files(folder) == ["file"]
    assert Path("file").read_bytes() == b"mine"


def test_bad_bundles(folder: Path, tiny_bundle: Path) -> None:
    shutil.copytree(tiny_bundle, "changed")
    with open("changed/decoder.onnx", "ab") as decoder:
        decoder.write(b"\0")

    for bundle, message in [("nobody", "no bundle 'nobody'"), ("changed", "does not match its sha256")]:
        drawing = subprocess.run([*COMMAND, f"bundle={bundle}"], capture_output=True, text=True, check=False)
        assert drawing.returncode == 2
        assert re.fullmatch(rf"error: .*{message}.*\n", drawing.stderr)


def test_help_names_every_option(folder: Path) -> None:
    text = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout

    assert "python -m face_generation.inference seed=7" in text
    for option in ("num_images", "seed", "truncation", "bundle", "output", "grid", "format"):
        assert re.search(rf"^  {option}: .+ # .+$", text, re.MULTILINE)
    assert "hydra" not in text
    assert files(folder) == []


def test_needs_no_torch(folder: Path, tiny_bundle: Path) -> None:
    script = (
        "import sys; from face_generation.inference.__main__ import main; main(); "
        "print(*({'torch', 'mlflow', 'pandas', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    drawing = subprocess.run(
        [sys.executable, "-c", script, "num_images=3", f"bundle={tiny_bundle}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert drawing.stderr == "\n"
    assert len(files(folder)) == 3


def test_interrupt_keeps_what_is_written_and_says_how_to_go_on(folder: Path, tiny_bundle: Path) -> None:
    drawing = subprocess.Popen(
        [*COMMAND, "num_images=100000", "seed=0", "output=faces", f"bundle={tiny_bundle}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not Path("faces/0000000050.png").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        drawing.send_signal(signal.SIGINT)
        _, stderr = drawing.communicate(timeout=60)
    finally:
        drawing.kill()

    assert drawing.returncode == 130
    written = int(re.findall(r"(\d+) of 100000 faces are written; go on with seed=\1 ", stderr)[0])
    assert written > 25
    assert stderr.endswith("interrupted\n")
    assert "Traceback" not in stderr
    names = files(Path("faces"))
    assert names == [f"{seed:010}.png" for seed in range(len(names))], "no gaps, and nothing half written"
    assert len(names) >= written
    for name in names:
        assert pixels(Path("faces") / name).shape == (150, 150, 3)


def test_disk_that_fills_up(folder: Path, tiny_bundle: Path) -> None:
    """Draws on a real disk of a few hundred kilobytes and six files, mounted where only this test sees it."""
    Path("disk").mkdir()
    mount = "mount -t tmpfs -o size=400k,nr_inodes=8 tmpfs disk"
    inside = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*inside, mount], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let a test mount a disk")
    draw = shlex.join([*COMMAND, "seed=7", f"bundle={tiny_bundle}"])

    def on_small_disk(commands: str) -> tuple[list[str], str]:
        result = subprocess.run([*inside, f"{mount} && {commands}"], capture_output=True, text=True, check=False)
        return result.stdout.splitlines(), result.stderr

    out, error = on_small_disk(f"{draw} num_images=1000000 output=disk/faces; echo $?; ls -A disk")
    assert re.fullmatch(r"error: the faces need about [\d,.]+ MB and disk/faces has 0\.4 MB free; .*\n", error)
    assert out == ["2"]

    out, error = on_small_disk(f"{draw} num_images=9 format=jpg output=disk/faces; echo $?; ls -A disk/faces")
    left = re.search(r"^error: no space left for .*; (\d) of 9 faces are written; go on with (.*)\n", error)
    assert left
    written = int(left[1])
    assert left[2] == f"seed={7 + written} num_images={9 - written}"
    assert out[0] == "2"
    assert written >= 1
    assert out[1 : 1 + written] == [f"{seed:010}.jpg" for seed in range(7, 7 + written)]
    assert not [name for name in out if name.startswith(".")]

    grid = f"{draw} num_images=100 grid=true output=disk/a.png"
    out, error = on_small_disk(f"echo older > disk/a.png; {grid}; ls -A disk; cat disk/a.png")
    assert re.search(r"^error: no space left for disk/a\.png; .*\n\Z", error, re.MULTILINE)
    assert out == ["a.png", "older"]


def test_a_picture_is_drawn_again_from_what_it_says(draw: Callable[..., str], folder: Path) -> None:
    draw("seed=7", "truncation=0.6", "edits={smiling: 1.5}", "output=first.webp")
    draw("seed=8", "num_images=5", "grid=true", "output=grid.png")
    draw("num_images=2", "seed=20", "output=many", "format=png")
    printed = draw("same_as=first.webp", "output=again.png")
    draw("same_as=grid.png", "output=grid-again.png")
    draw("same_as=many/0000000021.png", "output=one.png")
    draw("seed=7", "truncation=0.6", "edits={smiling: 1.5}", "output=wanted.png")

    assert "seed 7" in printed
    np.testing.assert_array_equal(pixels("again.png"), pixels("wanted.png"))
    np.testing.assert_array_equal(pixels("grid-again.png"), pixels("grid.png"))
    np.testing.assert_array_equal(pixels("one.png"), pixels("many/0000000021.png"))


def test_a_picture_that_cannot_be_drawn_again(
    mistake: Callable[..., str], draw: Callable[..., str], folder: Path
) -> None:
    Image.new("RGB", (9, 9)).save("other.png")
    draw("seed=7", "output=seven.png")

    assert "does not say which seed it is of" in mistake("same_as=other.png")
    assert "cannot read nothing.png" in mistake("same_as=nothing.png")
    assert "was drawn by bundle tiny, version" in mistake("same_as=seven.png", "bundle=vae")
