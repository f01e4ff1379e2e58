"""The learned prior, on toy posteriors whose true density is known."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from face_generation.models.prior import fit_flow, moments, posteriors
from face_generation.networks import Encoder, Flow

DIM = 4
Posteriors = tuple[Tensor, Tensor]  # means and standard deviations
Make = Callable[[int, torch.Generator], Posteriors]


def banana(count: int, generator: torch.Generator) -> Posteriors:
    """The second dimension follows the square of the first, the fourth half the third."""
    x, y = torch.randn(2, count, generator=generator)
    stds = torch.tensor([0.0, 0.3, 0.0, 0.3]).expand(count, DIM)
    return torch.stack([x, x**2 - 1, y, y / 2], dim=1), stds


def clusters(count: int, generator: torch.Generator) -> Posteriors:
    """Two clusters in opposite corners."""
    side = 2.0 * torch.randint(2, (count, 1), generator=generator) - 1
    return side * torch.tensor([1.5, -1.5, 1.5, -1.5]), torch.full((count, DIM), 0.5)


def entropy(*stds: float) -> float:
    """Of independent Gaussians, in nats."""
    return sum(0.5 * math.log(2 * math.pi * math.e * std**2) for std in stds)


# What no model can be better than.
TRUTH = {banana: entropy(1, 0.3, 1, 0.3), clusters: math.log(2) + entropy(0.5, 0.5, 0.5, 0.5)}


def draw(make: Make, count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    means, stds = make(count, generator)
    return means + stds * torch.randn(means.shape, generator=generator)


def fit(make: Make, steps: int) -> tuple[Flow, dict[str, float]]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    flow = Flow((DIM, 1, 1), couplings=8, hidden=64).requires_grad_(False)
    train, val = make(4000, generator), make(1000, generator)
    return flow, fit_flow(flow, train, val, steps, batch_size=256, learning_rate=3e-3)


@pytest.fixture(scope="module", params=TRUTH, ids=lambda make: make.__name__)
def fitted(request: pytest.FixtureRequest) -> tuple[Make, Flow, dict[str, float]]:
    return request.param, *fit(request.param, steps=300)


def test_the_flow_closes_most_of_the_gap_to_the_truth(fitted: tuple[Make, Flow, dict[str, float]]) -> None:
    make, _, scores = fitted
    truth, flow, gaussian = TRUTH[make], scores["prior/flow_nats"], scores["prior/gaussian_nats"]

    assert gaussian < scores["prior/normal_nats"]
    assert truth - 0.15 < flow < truth + 0.4 * (gaussian - truth)  # 0.15: the held-out sample is finite


def test_the_scores_hold_for_fresh_samples(fitted: tuple[Make, Flow, dict[str, float]]) -> None:
    make, flow, scores = fitted
    nats = flow.negative_log_likelihood(draw(make, 5000, seed=2)).mean().item()

    assert nats == pytest.approx(scores["prior/flow_nats"], abs=0.3)


def test_samples_have_the_moments_of_the_latents(fitted: tuple[Make, Flow, dict[str, float]]) -> None:
    make, flow, _ = fitted
    latents = draw(make, 20_000, seed=3)
    samples = flow.inverse(torch.randn(20_000, DIM, generator=torch.Generator().manual_seed(4)))
    scale = latents.std(0)

    assert ((samples.mean(0) - latents.mean(0)) / scale).abs().max() < 0.15
    assert (torch.cov((samples / scale).T) - torch.cov((latents / scale).T)).abs().max() < 0.25


def test_samples_are_as_wide_as_the_latents_and_not_as_the_copies() -> None:
    generator = torch.Generator().manual_seed(1)
    train, val = banana(4000, generator), banana(1000, generator)
    moved = torch.tensor([0.0, 0.0, 0.0, 1.2]) * torch.randn(4000, DIM, generator=generator)
    copies = (train[0] + moved, train[1])
    flow = Flow((DIM, 1, 1), couplings=8, hidden=64)
    fit_flow(flow, train, val, 300, copies)
    samples = flow.inverse(torch.randn(20_000, DIM, generator=generator))
    along = torch.tensor([0.0, 0.0, -0.5, 1.0])  # where only copies are wide

    assert (copies[0] @ along).std() > 1
    assert (samples @ along).std() == pytest.approx(0.3, abs=0.05)


def test_no_sample_is_farther_out_than_the_farthest_latent(fitted: tuple[Make, Flow, dict[str, float]]) -> None:
    make, flow, _ = fitted
    normal = 10 * torch.randn(1000, DIM, generator=torch.Generator().manual_seed(2))

    def distances(latents: Tensor) -> Tensor:
        return ((latents - flow.mean) @ flow.whitening.T).norm(dim=1)

    with torch.no_grad():
        torch.testing.assert_close(distances(flow.inverse(normal)).max(), flow.reach)
    assert flow.reach.item() == pytest.approx(distances(draw(make, 4000, seed=3)).max().item(), rel=0.5)


def test_the_same_latents_give_the_same_flow() -> None:
    (first, scores), (second, same_scores) = (fit(banana, steps=20) for _ in range(2))

    assert scores == same_scores
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_an_overfitted_state_is_not_kept() -> None:
    torch.manual_seed(0)
    means, _ = clusters(1030, torch.Generator().manual_seed(0))
    latents, exact = means + 0.5 * torch.randn_like(means), torch.zeros_like(means)
    flow = Flow((DIM, 1, 1), couplings=6, hidden=32)
    train, val = (latents[:30], exact[:30]), (latents[30:], exact[30:])
    scores = fit_flow(flow, train, val, steps=150, learning_rate=1e-2)
    flow_nats = flow.negative_log_likelihood(val[0]).mean().item()

    assert flow.negative_log_likelihood(train[0]).mean() < flow_nats
    assert flow_nats == pytest.approx(scores["prior/flow_nats"])
    assert flow_nats <= scores["prior/gaussian_nats"]


def test_without_steps_the_flow_is_the_gaussian() -> None:
    flow, scores = fit(clusters, steps=0)
    latents = draw(clusters, 20_000, seed=2)
    normal, _ = flow(latents)

    assert scores["prior/flow_nats"] == scores["prior/gaussian_nats"]
    torch.testing.assert_close(normal.mean(0), torch.zeros(DIM), atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(normal.T), torch.eye(DIM), atol=0.1, rtol=0)


def test_a_fitted_flow_takes_no_gradient() -> None:
    flow, _ = fit(banana, steps=1)

    assert not any(parameter.requires_grad for parameter in flow.parameters())


def test_whitening_counts_the_spread_within_the_posteriors() -> None:
    flow = Flow((2, 1, 1), couplings=0, hidden=1)
    means = torch.tensor([[1.0, 5.0], [1.0, 7.0], [1.0, 6.0]])  # the first dimension varies only within
    stds = torch.tensor([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    flow.whiten(*moments(means, stds))

    torch.testing.assert_close(flow.mean, torch.tensor([1.0, 6.0]))
    torch.testing.assert_close(flow.colouring @ flow.colouring.T, torch.diag(torch.tensor([4.0, 2.0])))


def test_posteriors_are_those_of_every_image_in_order() -> None:
    torch.manual_seed(0)
    encoder = Encoder(6, (4, 4, 4)).eval()
    images = torch.randn(5, 3, 32, 32)
    means, stds = posteriors(encoder, [images[:3], images[3:]])
    mean, log_variance = encoder(images)

    torch.testing.assert_close(means, mean)
    torch.testing.assert_close(stds**2, log_variance.exp())
    assert not means.requires_grad
