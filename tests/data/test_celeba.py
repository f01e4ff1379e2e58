import pytest

from face_generation.data.celeba import ATTRIBUTES, OFFICIAL_SPLIT, official_number, official_split


def test_official_split_covers_every_image_once() -> None:
    numbers = [number for split in ("train", "val", "test") for number in OFFICIAL_SPLIT[split]]
    assert numbers == list(range(1, 202_600))
    assert [len(numbers) for numbers in OFFICIAL_SPLIT.values()] == [162_770, 19_867, 19_962]


@pytest.mark.parametrize(
    ("number", "split"),
    [(1, "train"), (162770, "train"), (162771, "val"), (182637, "val"), (182638, "test"), (202599, "test")],
)
def test_official_split_of_a_number(number: int, split: str) -> None:
    assert official_split(number) == split


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("img_align_celeba/000001.jpg", 1),
        ("data/IMG_ALIGN_CELEBA/img_align_celeba/202599.JPG", 202599),
        ("celeba/img_align_celeba_png/000020.png", 20),
        ("celeba/images/000020.jpg.webp", 20),
        ("img_align_celeba/202600.jpg", None),
        ("img_align_celeba/000000.jpg", None),
        ("img_align_celeba/1.jpg", None),
        ("img_align_celeba/AJ_Cook_0001.jpg", None),
        ("celeba_hq/000001.jpg", None),
        ("photos/000001.jpg", None),
    ],
)
def test_official_number_of_a_path(path: str, number: int | None) -> None:
    assert official_number(path) == number


def test_the_forty_attributes() -> None:
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == 40
    assert list(ATTRIBUTES) == sorted(ATTRIBUTES)
