import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_generation.data.annotations import read_attributes, read_partition
from face_generation.data.celeba import ATTRIBUTES
from face_generation.data.synthetic import write_synthetic_faces
from face_generation.errors import UserError

COUNT = 60


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "faces"
    assert write_synthetic_faces(folder, COUNT, seed=3)
    return folder


def read_faces(folder: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(folder / "img_align_celeba.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_archive_has_faces_of_celebas_size(faces: Path) -> None:
    pictures = read_faces(faces)
    assert list(pictures) == [f"img_align_celeba/{number:06}.jpg" for number in range(1, COUNT + 1)]
    for data in pictures.values():
        image = Image.open(BytesIO(data))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (178, 218))
    assert len(set(pictures.values())) == COUNT


def test_the_partition_is_contiguous_with_official_line_ends(faces: Path) -> None:
    splits = list(read_partition("list_eval_partition.txt", (faces / "list_eval_partition.txt").read_bytes()).values())
    assert splits == ["train"] * 48 + ["val"] * 6 + ["test"] * 6
    assert (faces / "list_eval_partition.txt").read_bytes().startswith(b"000001.jpg 0\r\n000002.jpg 0\r\n")


def test_the_attributes_have_the_official_columns_and_vary(faces: Path) -> None:
    columns, attributes = read_attributes("list_attr_celeba.txt", (faces / "list_attr_celeba.txt").read_bytes())
    assert columns == ATTRIBUTES
    assert len(attributes) == COUNT
    share = dict(zip(columns, (np.stack(list(attributes.values())) == 1).mean(axis=0), strict=True))
    for name in ("Smiling", "Eyeglasses", "Black_Hair", "Bangs", "No_Beard", "Pale_Skin"):
        assert 0 < share[name] < 1
    assert share["Male"] == 0  # never drawn


def test_the_attributes_show(faces: Path) -> None:
    """Faces with black hair are darker above the forehead than faces with gray hair."""
    columns, attributes = read_attributes("list_attr_celeba.txt", (faces / "list_attr_celeba.txt").read_bytes())

    def brightness(colour: str) -> float:
        hat, hair = columns.index("Wearing_Hat"), columns.index(colour)
        rows = [name for name, row in attributes.items() if row[hair] == 1 and row[hat] == -1]
        pictures = read_faces(faces)
        crowns = [np.asarray(Image.open(BytesIO(pictures[f"img_align_celeba/{name}"])))[60:66, 84:94] for name in rows]
        return float(np.mean(crowns))

    assert brightness("Black_Hair") < 80 < 120 < brightness("Gray_Hair")


def test_a_face_does_not_depend_on_the_count(faces: Path, tmp_path: Path) -> None:
    write_synthetic_faces(tmp_path / "few", 5, seed=3)
    few, many = read_faces(tmp_path / "few"), read_faces(faces)
    assert all(many[name] == data for name, data in few.items())


def test_only_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for folder, seed in (("one", 1), ("again", 1), ("two", 2)):
        write_synthetic_faces(tmp_path / folder, 4, seed)

    def archive(folder: str) -> bytes:
        return (tmp_path / folder / "img_align_celeba.zip").read_bytes()

    assert archive("one") == archive("again")
    assert set(read_faces(tmp_path / "one").values()).isdisjoint(read_faces(tmp_path / "two").values())


def test_the_same_set_is_not_drawn_twice(faces: Path) -> None:
    before = (faces / "img_align_celeba.zip").stat()
    assert not write_synthetic_faces(faces, COUNT, seed=3)
    after = (faces / "img_align_celeba.zip").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(("count", "seed"), [(COUNT, 4), (COUNT - 1, 3)])
def test_another_set_is_not_replaced(faces: Path, count: int, seed: int) -> None:
    with pytest.raises(UserError, match="holds something else"):
        write_synthetic_faces(faces, count, seed)
    assert len(read_faces(faces)) == COUNT


@pytest.mark.parametrize("count", [-1, 2, 1_000_000])
def test_a_count_out_of_range(tmp_path: Path, count: int) -> None:
    with pytest.raises(UserError, match="3 to 999999"):
        write_synthetic_faces(tmp_path / "faces", count)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_synthetic_faces(tmp_path / "file" / "faces", 3)


def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "face_generation.data.synthetic", "faces", "--count", "3"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for said in ("drew 3 faces", "already has 3 faces"):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0
        assert said in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]
