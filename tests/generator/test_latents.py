import numpy as np
import pytest

from face_generation.generator.latents import slerp


def normal(latent_dim: int, seed: int) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(latent_dim).astype(np.float32)


def test_a_turn_by_a_right_angle() -> None:
    start, end = np.array([2.0, 0.0]), np.array([0.0, 4.0])
    halfway = slerp(start, end, 0.5)
    assert halfway == pytest.approx([3 * np.sqrt(0.5), 3 * np.sqrt(0.5)])
    assert slerp(start, end, 1 / 3) == pytest.approx([(2 + 2 / 3) * np.cos(np.pi / 6), (2 + 2 / 3) * 0.5])


def test_the_way_turns_evenly_and_keeps_length() -> None:
    start, end = normal(512, 1), normal(512, 2)
    way = slerp(start, end, np.linspace(0, 1, 11)).astype(np.float64)
    assert way.shape == (11, 512)
    lengths = np.linalg.norm(way, axis=1)
    assert np.diff(lengths) == pytest.approx(np.full(10, (lengths[-1] - lengths[0]) / 10), abs=1e-4)
    units = way / lengths[:, None]
    angles = np.arccos((units[1:] * units[:-1]).sum(1))
    assert angles == pytest.approx(np.full(10, angles.mean()), rel=1e-3)


def test_the_ends_are_exact() -> None:
    start, end = normal(64, 1), normal(64, 2)
    assert np.array_equal(slerp(start, end, 0), start)
    assert np.array_equal(slerp(start, end, 1), end)
    assert np.array_equal(slerp(start, end, [0, 1]), [start, end])


@pytest.mark.parametrize(
    "end", [[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [3.0, 0.0]], ids=["zero", "opposite", "same", "longer"]
)
def test_where_there_is_no_angle_the_way_is_straight(end: list[float]) -> None:
    start = np.array([1.0, 0.0])
    assert slerp(start, np.array(end), 0.25) == pytest.approx(0.75 * start + 0.25 * np.array(end))
