import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from face_generation.errors import UserError
from face_generation.generator import Bundle, Generator

FACES = [[1, -1, -1, -1], [1, -1, 1, -1], [-1, 1, 1, -1], [-1, -1, -1, 1], [1, 1, -1, -1], [-1, -1, 1, 0]]


@pytest.fixture(scope="module")
def generator(told_bundle: Path) -> Generator:
    return Generator.load(told_bundle)


def test_names(generator: Generator, tiny_bundle: Path) -> None:
    assert generator.attributes.names == ["smiling", "eyeglasses", "male", "blurry"]
    assert generator.attributes.offered == ["smiling", "eyeglasses", "male"]
    assert generator.bundle.sampler == {"steps": 2, "guidance": 2.0}
    assert Generator.load(tiny_bundle).attributes.names == []


def test_attributes_not_asked_for_are_as_frequent_as_in_faces(generator: Generator) -> None:
    said = generator.said(600, seed=0)

    assert said.dtype == np.int8
    counts = Counter(map(tuple, said.tolist()))
    assert counts.keys() == set(map(tuple, FACES))
    assert max(counts.values()) < 2 * min(counts.values())


def test_other_attributes_come_from_a_matching_training_face(generator: Generator) -> None:
    said = generator.said(100, seed=0, attributes={"smiling": 1, "male": -1})

    assert {tuple(row) for row in said.tolist()} == {(1, -1, -1, -1), (1, 1, -1, -1)}


def test_where_no_face_has_it_all_nothing_else_is_said(generator: Generator) -> None:
    asked = {"smiling": True, "eyeglasses": True, "male": True}

    assert generator.said(2, attributes=asked).tolist() == [[1, 1, 1, 0]] * 2


def test_at_truncation_0_is_one_face_of_what_was_asked_for(generator: Generator) -> None:
    assert generator.said(2, 5, truncation=0, attributes={"male": False}).tolist() == [[0, 0, -1, 0]] * 2
    one, same = generator.sample(2, 5, truncation=0, attributes={"male": False})
    assert np.array_equal(one, same)
    assert not np.array_equal(one, generator.sample(1, 5, truncation=0, attributes={"male": True})[0])


def test_the_prior_uses_normal_vector_and_attributes(generator: Generator, told_bundle: Path) -> None:
    latents = generator.latents(2, 7, truncation=0.5, attributes={"smiling": 1})

    prior = onnxruntime.InferenceSession(told_bundle / "prior.onnx", providers=["CPUExecutionProvider"])
    said = generator.said(2, 7, attributes={"smiling": 1})
    normal = np.stack([np.random.RandomState(seed).standard_normal(8) for seed in (7, 8)]) / 2
    rows = [
        prior.run(None, {"normal": x[None].astype(np.float32), "attributes": told[None].astype(np.float32)})[0][0]
        for x, told in zip(normal, said, strict=True)
    ]
    assert np.array_equal(latents, np.stack(rows))


def test_only_what_is_asked_for_changes_the_face(generator: Generator) -> None:
    smiling = generator.sample(3, 1, attributes={"smiling": 1, "male": -1})

    assert np.array_equal(generator.sample(3, 1, attributes={"male": False, "smiling": True}), smiling)
    assert np.array_equal(generator.sample(1, 3, attributes={"smiling": 1, "male": -1})[0], smiling[2])
    assert np.array_equal(np.stack(list(generator.stream(3, 1, attributes={"smiling": 1, "male": -1}))), smiling)
    assert not np.array_equal(generator.sample(3, 1, attributes={"smiling": -1}), smiling)
    assert not np.array_equal(generator.sample(3, 1), smiling)


def test_edits_act_on_the_latents_of_the_prior(generator: Generator) -> None:
    latents = generator.latents(1, 1, attributes={"male": 1})
    edited = generator.latents(1, 1, edits={"smiling": 2}, attributes={"male": 1})

    assert np.array_equal(edited, generator.directions.move(latents, {"smiling": 2}))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"smilling": 1}, "cannot be asked for 'smilling'; there are smiling, eyeglasses, male"),
        ({"blurry": 1}, "cannot be asked for 'blurry'; there are smiling, eyeglasses, male"),
        ({"smiling": 0}, r"smiling is 1 or true \(with it\), or -1 or false \(without it\), not 0"),
        ({"smiling": 2}, "not 2"),
        ({"smiling": 1.0}, "not 1.0"),
        ({"smiling": "yes"}, "not 'yes'"),
        ({"smiling": None}, "not None"),
    ],
)
@pytest.mark.parametrize("method", ["latents", "sample", "stream", "said"])
def test_what_cannot_be_asked_for(generator: Generator, method: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        getattr(generator, method)(1, attributes=asked)


def test_a_model_that_takes_no_attributes(tiny_bundle: Path) -> None:
    generator = Generator.load(tiny_bundle)

    assert generator.said(3).shape == (3, 0)
    with pytest.raises(UserError, match="bundle tiny cannot be asked for 'smiling'; its model takes no attributes"):
        generator.sample(1, attributes={"smiling": 1})


def test_a_prior_may_take_no_attributes(tiny_bundle: Path) -> None:
    """The shipped VAE's, as long as it has such a one."""
    generator = Generator.load("vae")
    if generator.attributes.names:
        pytest.skip("the shipped prior takes attributes")
    assert generator.bundle.has_prior
    assert generator.latents(1).shape == (1, generator.bundle.latent_dim)


@pytest.mark.parametrize(
    "content",
    [
        b"not an archive",
        b"",
        {"values": np.zeros((3, 3), np.int8)},
        {"values": np.zeros((0, 4), np.int8)},
        {"values": np.zeros((3, 4))},
        {"rows": np.zeros((3, 4), np.int8)},
        {"values": np.array([[print] * 4], dtype=object)},
    ],
    ids=["text", "empty", "narrow", "short", "floats", "nameless", "pickle"],
)
def test_malformed_attributes_are_refused(told_bundle: Path, tmp_path: Path, content: Any) -> None:
    folder = Path(shutil.copytree(told_bundle, tmp_path / "bundle"))
    if isinstance(content, bytes):
        (folder / "attributes.npz").write_bytes(content)
    else:
        np.savez(folder / "attributes.npz", **content)
    bundle = Bundle.load(told_bundle)
    about = {key: getattr(bundle, key) for key in ("latent_shape", "image_size", "training", "metrics", "licence")}
    Bundle.write(folder, name="told", attributes=bundle.attributes, **about)

    with pytest.raises(UserError, match=r"attributes.npz (is not a file of|should have values of 4) attributes"):
        Generator.load(folder).sample(1)
