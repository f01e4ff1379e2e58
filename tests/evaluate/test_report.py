"""The report: its table, its charts, its pictures, and the page that they make."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from face_generation.evaluate import sheets
from face_generation.evaluate.candidates import Candidate
from face_generation.evaluate.measurement import Measured, Yardstick
from face_generation.evaluate.report import charts, exhibits, table, write_report
from face_generation.generator import Generator
from face_generation.metrics import Estimate, Gap
from face_generation.metrics.memorisation import Neighbours
from face_generation.metrics.registry import METRICS

MODELS = {
    "one": {"fid": Gap("no weights"), "swd": Estimate(20, 18, 22), "recall": Estimate(0.5, 0.4, 0.6)},
    "two": {"fid": Gap("no weights"), "swd": Estimate(30, 28, 32), "recall": Estimate(0.7, 0.6, 0.8)},
}
REAL = {"fid": Gap("no weights"), "kid": Gap("no images"), "swd": Estimate(5, 4, 6), "recall": Estimate(0.9, 0.8, 1)}


def test_the_table_has_the_registrys_order_and_marks_the_best() -> None:
    sharp = {"one": Estimate(0.5, 0.4, 0.6), "two": Estimate(1.4, 1.3, 1.5), "real": Estimate(1, 0.9, 1.1)}
    columns = {label: {**figures, "sharpness": sharp[label]} for label, figures in {**MODELS, "real": REAL}.items()}
    rows = {row.metric.key: row.cells for row in table.rows(columns, "real")}

    assert list(rows) == ["recall", "swd", "sharpness"]
    best = {key: [cell.best for cell in cells if cell] for key, cells in rows.items()}
    assert best == {"recall": [False, True, False], "swd": [True, False, False], "sharpness": [False, True, False]}
    assert not any(cell.best for row in table.rows({"one": MODELS["one"], "real": REAL}, "real") for cell in row.cells)


@pytest.mark.parametrize(
    ("estimate", "value", "interval"),
    [
        (Estimate(123.456, 120, 130.04), "123", "120–130"),
        (Estimate(21.234, 20.8, 21.7), "21.2", "20.8–21.7"),
        (Estimate(0.98765, 0.9, 1), "0.988", "0.900–1.000"),
        (Estimate(0.00012345, 0, 0.0002), "0.0001", "0.0000–0.0002"),
        (Estimate(0, 0, 0), "0.00", "0.00–0.00"),
        (Estimate(0.01, -0.5, 0.6), "0.01", "-0.50 to 0.60"),
    ],
)
def test_figures_have_three_digits_and_intervals_as_many(estimate: Estimate, value: str, interval: str) -> None:
    (row,) = table.rows({"one": {"kid": estimate}}, "real")

    assert [(cell.value, cell.interval) for cell in row.cells if cell] == [(value, interval)]


def test_gaps_with_one_reason_are_one_line() -> None:
    assert table.gaps({**MODELS, "real": REAL}) == ["FID (one, two, real): no weights", "KID ×1000 (real): no images"]


def test_the_table_as_text_is_aligned() -> None:
    columns = {**MODELS, "real": REAL}
    lines = table.as_text(table.rows(columns, "real"), list(columns)).splitlines()

    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["one", "two", "real"]
    assert lines[2].split() == [
        "SWD",
        "×1000",
        "↓",
        "*20.0",
        "[18.0–22.0]",
        "30.0",
        "[28.0–32.0]",
        "5.00",
        "[4.00–6.00]",
    ]


def test_bars_of_a_histogram_are_as_high_as_the_shares() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    histogram = charts.histogram({"all": values, "half": values[values > np.median(values)]}, mark=0.0)

    assert list(histogram.paths) == ["all", "half"]
    for path, numbers in zip(histogram.paths.values(), (values, values[values > np.median(values)]), strict=True):
        heights = [charts.HEIGHT - float(y) for y in re.findall(r"V([\d.]+)H", path)]
        shares = np.histogram(numbers, charts.BINS, (values.min(), values.max()))[0] / len(numbers)
        assert np.corrcoef(heights, shares)[0, 1] > 0.999
    assert histogram.mark == pytest.approx(-values.min() / np.ptp(values) * charts.WIDTH, abs=0.1)
    for place, number in histogram.ticks:
        assert place == pytest.approx((float(number) - values.min()) / np.ptp(values) * charts.WIDTH, abs=0.1)


def test_a_histogram_of_one_value_is_drawn() -> None:
    histogram = charts.histogram({"same": [0.5, 0.5], "too": [0.5]}, mark=0.5)

    assert 0 <= histogram.mark <= charts.WIDTH
    assert "nan" not in str(histogram)


def test_attribute_means_are_those_of_the_faces_that_have_it(tiny_bundle: Path) -> None:
    generator = Generator.load(tiny_bundle)
    faces = np.random.default_rng(0).integers(0, 256, (70, 150, 150, 3), dtype=np.uint8)
    has = np.arange(70) % 2 == 0
    (picture,) = exhibits.attribute_means({"tiny": generator}, faces, {"Even": has}).values()

    np.testing.assert_array_equal(picture[:, :150], faces[::2].mean(axis=0).round())
    mean = generator.encode(faces[::2]).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(picture[:, 152:].astype(int), generator.decode(mean)[0].astype(int), atol=1)


class Page(HTMLParser):
    """What a page says, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def yardstick(synthetic_splits: Path, tmp_path: Path, offline: None) -> Yardstick:
    return Yardstick(synthetic_splits, ["val"], 20, 0, 1.0, None, tmp_path / "cache", tmp_path)


def neighbours(n: int) -> Neighbours:
    random = np.random.default_rng(n)
    return Neighbours(random.uniform(0.4, 0.8, n), random.integers(40, size=n))


def test_the_page_needs_nothing_but_itself(yardstick: Yardstick, tiny_bundle: Path, tmp_path: Path) -> None:
    generator = Generator.load(tiny_bundle)
    samples = generator.sample(20)
    candidate = Candidate("tiny", str(tiny_bundle), generator)
    odd = "<script>alert(1)</script>"
    models = [
        Measured("tiny", samples, MODELS["one"], neighbours(20), yardstick.test.images, candidate),
        Measured(odd, samples, MODELS["two"], neighbours(20), candidate=Candidate(odd, "folder")),
    ]
    real = Measured("real", yardstick.held_out.images, REAL, neighbours(len(yardstick.held_out.images)))
    report = tmp_path / "out/report.html"
    looked_at = {"tiny": sheets.draw(generator, 0, 0.8)}
    write_report(report, models, real, looked_at, yardstick, "Some & others.", "python -m …")
    text = report.read_text(encoding="utf-8")
    page = Page(text)

    names = [name for name, _ in page.tags]
    assert "script" not in names
    for _, attributes in page.tags:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert re.match(r"#|data:", attributes.get("href") or "#")
    assert not re.search(r"url\(|@import", text)
    pictures = [attributes for name, attributes in page.tags if name == "img"]
    assert all(picture["alt"] and int(picture["width"] or 0) and int(picture["height"] or 0) for picture in pictures)
    anchors = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
    assert {attributes["href"] for name, attributes in page.tags if name == "a"} <= {f"#{name}" for name in anchors}

    assert {
        "samples",
        "sheets",
        "reconstructions",
        "memorisation",
        "interpolations",
        "attributes",
        "meaning",
    } <= anchors
    assert METRICS["swd"].meaning in page.text
    assert METRICS["lpips"].meaning not in page.text  # nobody has a figure
    for said in ("Some & others.", odd, "seeds 0 to 19", "the first 20 files", "FID (tiny, ", "Smiling, ", "20.0"):
        assert said in page.text
    assert "tiny, truncation 0.8, face 0 is that of seed 4000000000" in page.text
    assert f"python -m face_generation.evaluate bundle={tiny_bundle} 'broken=…' truncation=0.8" in page.text


def test_parts_without_embeddings_and_encoders_are_left_out(yardstick: Yardstick, tmp_path: Path) -> None:
    images = np.array(yardstick.held_out.images)
    model = Measured("photos", images, MODELS["one"], None, candidate=Candidate("photos", "photos"))
    write_report(tmp_path / "report.html", [model], Measured("real", images, REAL, None), {}, yardstick, "", "")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    anchors = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
    assert "samples" in anchors
    assert anchors.isdisjoint({"sheets", "reconstructions", "memorisation", "interpolations", "attributes"})
    assert "★" not in page.text
