from pathlib import Path

import numpy as np
import pytest

from face_generation.data.celeba import (
    ATTRIBUTES,
    OFFICIAL_SPLIT,
    official_split,
    read_attributes,
    read_partition,
    write_attributes,
)
from face_generation.errors import UserError


def write(folder: Path, content: bytes) -> Path:
    path = folder / "list.txt"
    path.write_bytes(content)
    return path


def test_official_split_covers_every_image_once() -> None:
    numbers = [number for split in ("train", "val", "test") for number in OFFICIAL_SPLIT[split]]
    assert numbers == list(range(1, 202_600))
    assert [len(numbers) for numbers in OFFICIAL_SPLIT.values()] == [162_770, 19_867, 19_962]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("000001.jpg", "train"),
        ("162770.jpg", "train"),
        ("162771.jpg", "val"),
        ("182637.jpg", "val"),
        ("182638.jpg", "test"),
        ("202599.jpg", "test"),
        ("202600.jpg", None),
        ("000000.jpg", None),
        ("1.jpg", None),
        ("000001.png", None),
        ("AJ_Cook_0001.jpg", None),
    ],
)
def test_official_split_of_a_name(name: str, split: str | None) -> None:
    assert official_split(name) == split


def test_the_forty_attributes() -> None:
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == 40
    assert list(ATTRIBUTES) == sorted(ATTRIBUTES)


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_read_partition(tmp_path: Path, end: bytes) -> None:
    path = write(tmp_path, end.join([b"000001.jpg 0", b"162771.jpg 1", b"182638.jpg 2", b""]))
    assert read_partition(path) == {"000001.jpg": "train", "162771.jpg": "val", "182638.jpg": "test"}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"000001.jpg 0\r\n000002.jpg 3\r\n", "line 2"),
        (b"000001.jpg 0\r\n000002.jpg\r\n", "line 2"),
        (b"000001.jpg 0\r\n000001.jpg 1\r\n", "line 2: names 000001.jpg a second time"),
        (b"<!DOCTYPE html>\n<html>", "line 1"),
        (b"PK\x03\x04\xff\xfe", "not a text file"),
        (b"", "empty"),
    ],
)
def test_a_bad_partition_file(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read_partition(write(tmp_path, content))


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_read_attributes(tmp_path: Path, end: bytes) -> None:
    path = write(tmp_path, end.join([b"2", b"Bald Smiling Young", b"000001.jpg -1  1  1", b"000002.jpg  1 -1 -1", b""]))
    columns, attributes = read_attributes(path)
    assert columns == ("Bald", "Smiling", "Young")
    assert {name: values.tolist() for name, values in attributes.items()} == {
        "000001.jpg": [-1, 1, 1],
        "000002.jpg": [1, -1, -1],
    }


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = {"0000000007.png": np.array([1, -1], np.int8), "0000000008.png": np.array([0, 1], np.int8)}
    write_attributes(tmp_path / "attributes.txt", ["bald", "young"], rows)

    assert (tmp_path / "attributes.txt").read_text() == "2\nbald young\n0000000007.png 1 -1\n0000000008.png 0 1\n"
    columns, read = read_attributes(tmp_path / "attributes.txt")
    assert columns == ("bald", "young")
    assert {name: values.tolist() for name, values in read.items()} == {name: v.tolist() for name, v in rows.items()}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"Bald Young\r\n000001.jpg 1 1\r\n", "line 1: should be the number of images"),
        (b"1\r\nBald Bald\r\n000001.jpg 1 1\r\n", "line 2: should be the attribute names"),
        (b"1\r\nBald Young\r\n000001.jpg 1\r\n", "line 3: should be an image name and 2 values"),
        (b"1\r\nBald Young\r\n000001.jpg 1 2\r\n", "line 3"),
        (b"2\r\nBald Young\r\n000001.jpg 1 1\r\n000001.jpg 1 1\r\n", "line 4: names 000001.jpg a second time"),
        (b"3\r\nBald Young\r\n000001.jpg 1 1\r\n", "promises 3 images but has 1"),
        (b"", "line 1"),
    ],
)
def test_a_bad_attribute_file(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read_attributes(write(tmp_path, content))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        read_partition(tmp_path)
