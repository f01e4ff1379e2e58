import numpy as np
import pytest
from numpy.typing import NDArray

from face_generation.metrics import Gap
from face_generation.metrics.memorisation import Neighbours, copies, nearest, nearest_train


def crowd(n: int, seed: int) -> NDArray[np.float32]:
    """Embeddings of n people. All come from one distribution, whatever the seed."""
    return np.random.default_rng(seed).normal(size=(n, 16)).astype(np.float32)


def by_hand(distances: list[float]) -> Neighbours:
    return Neighbours(np.array(distances), np.arange(len(distances)))


def test_nearest_is_that_of_all_pairs() -> None:
    faces, training = crowd(30, seed=0), crowd(500, seed=1)
    all_pairs = np.linalg.norm(faces[:, np.newaxis].astype(np.float64) - training, axis=2)

    found = nearest(faces, training)

    np.testing.assert_array_equal(found.indices, all_pairs.argmin(axis=1))
    np.testing.assert_allclose(found.distances, all_pairs.min(axis=1))


def test_nearest_finds_the_same_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    faces, training = crowd(30, seed=0), crowd(500, seed=1)
    whole = nearest(faces, training)

    monkeypatch.setattr("face_generation.metrics.distances.BLOCK_BYTES", 7 * 8 * 500)  # 7 faces at a time

    np.testing.assert_array_equal(nearest(faces, training).indices, whole.indices)


def test_a_copy_is_at_distance_zero_and_among_the_closest() -> None:
    training, samples = crowd(200, seed=0), crowd(20, seed=1)
    samples[[4, 11]] = training[[150, 3]]

    found = nearest(samples, training)

    assert found.distances[[4, 11]].tolist() == [0, 0]
    assert found.indices[[4, 11]].tolist() == [150, 3]
    assert found.closest(2).tolist() == [4, 11]
    closest = found.closest(5)
    assert (np.diff(found.distances[closest]) >= 0).all()
    assert found.distances[closest].max() <= np.delete(found.distances, closest).min()


def test_new_faces_are_as_far_as_held_out_ones() -> None:
    training = crowd(2000, seed=0)
    samples, held_out = nearest(crowd(1000, seed=1), training), nearest(crowd(800, seed=2), training)

    ratio, share = nearest_train(samples, held_out, seed=0), copies(samples, held_out, seed=0)

    assert ratio.low < 1 < ratio.high
    assert ratio.high - ratio.low < 0.1
    assert share.low < 0.01 < share.high < 0.05


def test_held_out_faces_beside_themselves_are_the_floor() -> None:
    held_out = nearest(crowd(500, seed=1), crowd(1000, seed=0))

    assert nearest_train(held_out, held_out, seed=0).value == 1
    assert copies(held_out, held_out, seed=0).value == 0.01


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_model_that_copies_is_found_out(share: float) -> None:
    training = crowd(2000, seed=0)
    samples, held_out = crowd(500, seed=1), nearest(crowd(500, seed=2), training)
    copied = int(share * len(samples))
    samples[:copied] = training[:copied] + 0.01

    found = nearest(samples, training)
    copied_share = copies(found, held_out, seed=0)

    assert copied_share.low <= share <= copied_share.value <= copied_share.high
    assert copied_share.value == pytest.approx(share, abs=0.02)
    assert (nearest_train(found, held_out, seed=0).high < 0.5) == (share > 0.5)  # a median sees what the majority does


def test_intervals_depend_on_the_seed_alone() -> None:
    training = crowd(500, seed=0)
    samples, held_out = nearest(crowd(200, seed=1), training), nearest(crowd(200, seed=2), training)

    for metric in (nearest_train, copies):
        assert metric(samples, held_out, seed=3) == metric(samples, held_out, seed=3)
        assert metric(samples, held_out, seed=3).value == metric(samples, held_out, seed=4).value


def test_what_cannot_be_measured_is_a_gap() -> None:
    faces = crowd(10, seed=0)
    broken = faces.copy()
    broken[3, 0] = np.nan

    with pytest.raises(Gap, match="1 of 10 images have a value that is NaN or infinite"):
        nearest(broken, faces)
    with pytest.raises(Gap, match="at least 1 images, and there are 0"):
        nearest(faces, faces[:0])
    with pytest.raises(Gap, match="at least 100 images, and there are 10"):
        copies(by_hand([1.0] * 10), by_hand([1.0] * 10), seed=0)
    with pytest.raises(Gap, match="held-out faces are training faces"):
        nearest_train(by_hand([1.0] * 10), by_hand([0.0] * 10), seed=0)
