"""Tables of a split and of attributes, in all the forms that people have them in."""

from pathlib import Path

import numpy as np
import pytest

from face_generation.data.annotations import Finder, read_attributes, read_partition, write_attributes
from face_generation.errors import UserError

PARTITION = {"000001.jpg": "train", "162771.jpg": "val", "182638.jpg": "test"}
OFFICIAL = "000001.jpg 0\n162771.jpg 1\n182638.jpg 2\n"


@pytest.mark.parametrize(
    "text",
    [
        OFFICIAL,
        f"\n  {OFFICIAL}\n\n",
        OFFICIAL.replace(" ", "  ").replace("\n", " \n"),
        OFFICIAL.replace(" ", "\t"),
        OFFICIAL.replace(" ", ";"),
        OFFICIAL.replace(" ", " , "),
        "image_id,partition\n" + OFFICIAL.replace(" ", ","),
        "image_id partition\n" + OFFICIAL,
        "photo;subset\n" + OFFICIAL.replace(" ", ";"),
        ",image_id,partition\n0,000001.jpg,0\n1,162771.jpg,1\n2,182638.jpg,2\n",
        '"image_id","partition"\n"000001.jpg","0.0"\n"162771.jpg","1.0"\n"182638.jpg","2.0"\n',
        "file,split\n000001.jpg,train\n162771.jpg,Validation\n182638.jpg,TEST\n",
        "Partition,Image_ID\n0,000001.jpg\n1,162771.jpg\n2,182638.jpg\n",
        "subset,photo\n0,000001.jpg\n1,162771.jpg\n2,182638.jpg\n",
        "image_id;partition;male\n000001.jpg;0;1\n162771.jpg;1;0\n182638.jpg;2;\n",
        "image_id,partition,,\n000001.jpg,0,,\n162771.jpg,1,,\n182638.jpg,2,,\n",
        '"000001.jpg" 0\n"162771.jpg" 1\n"182638.jpg" 2\n',
    ],
    ids=(
        "official blank-lines spaces tabs semicolons commas csv heading other-heading pandas quoted words swapped "
        "swapped-other-heading more-columns empty-columns quoted-by-R"
    ).split(),
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_partition_in_any_form(text: str, end: str, encoding: str) -> None:
    assert read_partition("list.txt", text.replace("\n", end).encode(encoding)) == PARTITION


def test_names_of_images_may_have_spaces_and_accents() -> None:
    assert read_partition("list.txt", "Été 1.jpg 0\nme, 2024.jpg 2\n".encode()) == {
        "Été 1.jpg": "train",
        "me, 2024.jpg": "test",
    }
    assert read_partition("list.csv", b'caf\xe9.jpg,0\n"me, 2024.jpg",1\n') == {
        "café.jpg": "train",
        "me, 2024.jpg": "val",
    }


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"000001.jpg 0\r\n000002.jpg 3\r\n", "line 2: should be an image name and 0, 1 or 2"),
        (b"000001.jpg 0\r\n000002.jpg\r\n", "line 2"),
        (b"000001.jpg 0\r\n\r\n000001.jpg 1\r\n", "line 3: names 000001.jpg a second time"),
        (b"<!DOCTYPE html>\n<html>", "line 1"),
        (b"PK\x03\x04\xff\xfe", "not a text file"),
        (b"", "empty"),
        (b"image_id,partition\n", "empty"),
        (b"0,000001.jpg\n1,162771.jpg\n", "line 2"),
        (b"0,000001.jpg,0\n1,162771.jpg,1\n", "line 1"),
        (b"<html>,\n" + bytes(200_000).replace(b"\0", b"x"), "not a table, because a line has more than 100,000"),
    ],
)
def test_a_bad_partition(content: bytes, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read_partition("list.txt", content)


ROWS = "000001.jpg -1  1  1\n000002.jpg  1 -1 -1\n"


@pytest.mark.parametrize(
    "text",
    [
        "2\nBald Smiling Young \n" + ROWS,
        "Bald Smiling Young\n" + ROWS,
        "image_id Bald Smiling Young\n" + ROWS,
        "image_id,Bald,Smiling,Young\n000001.jpg,-1,1,1\n000002.jpg,1,-1,-1\n",
        "2,,,\nBald,Smiling,Young,\n000001.jpg,-1,1,1\n000002.jpg,1,-1,-1\n",
        "photo;Bald;Smiling;Young\n000001.jpg;0;1;1\n000002.jpg;1;0;0\n",
        "image_id\tBald\tSmiling\tYoung\n000001.jpg\tFalse\tTrue\tTrue\n000002.jpg\tTrue\tFalse\tFalse\n",
        ",Bald,Smiling,Young\n000001.jpg,-1.0,1.0,1.0\n000002.jpg,1.0,-1.0,-1.0\n",
        ",image_id,Bald,Smiling,Young\n0,000001.jpg,-1,1,1\n1,000002.jpg,1,-1,-1\n",
        "Bald,file,Smiling,Young\n-1,000001.jpg,1,1\n1,000002.jpg,-1,-1\n",
        ",Bald,Smiling,Young,image\n0,-1,1,1,000001.jpg\n1,1,-1,-1,000002.jpg\n",
        "Image_ID,Bald,Smiling,Young\n000001.jpg,FALSE,TRUE,TRUE\n000002.jpg,TRUE,FALSE,FALSE\n",
        '"image_id","Bald","Smiling","Young"\n"000001.jpg","-1","1","1"\n"000002.jpg","1","-1","-1"\n',
    ],
    ids=(
        "official no-count name-column kaggle spreadsheet zero-and-one words index-is-name index name-in-between "
        "name-last excel quoted"
    ).split(),
)
@pytest.mark.parametrize(("end", "encoding"), [("\r\n", "utf-8"), ("\n", "utf-8-sig"), ("\r", "utf-16")])
def test_attributes_in_any_form(text: str, end: str, encoding: str) -> None:
    columns, attributes = read_attributes("list.txt", text.replace("\n", end).encode(encoding))
    assert columns == ("Bald", "Smiling", "Young")
    assert {name: values.tolist() for name, values in attributes.items()} == {
        "000001.jpg": [-1, 1, 1],
        "000002.jpg": [1, -1, -1],
    }
    assert all(values.dtype == np.int8 for values in attributes.values())


def test_what_is_unknown_is_zero() -> None:
    _, attributes = read_attributes("list.csv", b"image_id,Bald,Young\na.jpg,-1,0\nb.jpg,,1\n")
    assert {name: values.tolist() for name, values in attributes.items()} == {"a.jpg": [-1, 0], "b.jpg": [0, 1]}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"1\r\nBald Bald\r\n000001.jpg 1 1\r\n", "line 2: should be the attribute names"),
        (b"1\r\nBald Young\r\n000001.jpg 1\r\n", "line 3: should be an image name and 2 values"),
        (b"1\r\nBald Young\r\n000001.jpg 1 7\r\n", "line 3"),
        (b"2\r\nBald Young\r\n000001.jpg 1 1\r\n000001.jpg 1 1\r\n", "line 4: names 000001.jpg a second time"),
        (b"3\r\nBald Young\r\n000001.jpg 1 1\r\n", "says that it has 3 images, but has 1"),
        (b"9" * 5000 + b"\r\nBald\r\n000001.jpg 1\r\n", "line 2"),
        (b"Bald Young\r\n", "names no image"),
        (b"", "line 1: should be the attribute names"),
        (b"PK\x03\x04\xff\xfe", "not a text file"),
    ],
)
def test_bad_attributes(content: bytes, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read_attributes("list.txt", content)


@pytest.mark.parametrize(
    ("path", "row"),
    [
        ("album/000001.jpg", "000001.jpg"),
        ("album\\000001.JPG", "000001.jpg"),
        ("album/000001.png", "000001.jpg"),
        ("1.webp", "000001.jpg"),
        ("000001.jpg.webp", "000001.jpg"),
        ("b/Ada.jpg", "b/Ada.jpg"),
        ("c/Ada.jpg", None),  # there are two of that name
        ("E\u0301te\u0301.jpg", "Été.jpg"),
        ("000002.jpg", None),
    ],
)
def test_a_row_is_found_however_the_image_is_called(path: str, row: str | None) -> None:
    found = Finder(["000001.jpg", "a/Ada.jpg", "b/Ada.jpg", "Été.jpg"]).find([path])
    assert found == ({path: row} if row else {})


def test_a_row_belongs_to_the_image_that_spells_it_most_alike() -> None:
    finder = Finder(["a/1.jpg", "2.png"])
    assert finder.find(["b/1.jpg", "a/1.jpg", "b/02.png"]) == {"a/1.jpg": "a/1.jpg", "b/02.png": "2.png"}
    assert finder.find(["a/1.jpg", "b/02.png"], numbers=False) == {"a/1.jpg": "a/1.jpg"}
    assert finder.find(["b/1.jpg", "c/1.jpg"]) == {"b/1.jpg": "a/1.jpg", "c/1.jpg": "a/1.jpg"}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = {"0000000007.png": np.array([1, -1], np.int8), "0000000008.png": np.array([0, 1], np.int8)}
    write_attributes(tmp_path / "attributes.txt", ["bald", "young"], rows)

    content = (tmp_path / "attributes.txt").read_bytes()
    assert content == b"2\nbald young\n0000000007.png 1 -1\n0000000008.png 0 1\n"
    columns, read = read_attributes("attributes.txt", content)
    assert columns == ("bald", "young")
    assert {name: values.tolist() for name, values in read.items()} == {name: v.tolist() for name, v in rows.items()}
