"""Fits the learned prior: a flow between a VAE's latents and N(0, I).

The latents that a VAE's encoder gives over a whole data set, the aggregate posterior, never are exactly N(0, I), and
the decoder has not learned to draw anything elsewhere (Rosca et al. 2018; the two-stage VAE of Dai & Wipf 2019 answers
the same). Fitting a flow to them after training closes the gap.
"""

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor
from tqdm import tqdm

from face_generation.networks import Encoder, Flow

EVALUATE_EVERY = 50  # steps
PATIENCE = 10  # evaluations without a better one, after which a small data set is learned by heart
WEIGHT_DECAY = 0.1  # decoupled
ENCODED = 4096  # latents at a time
SAMPLES = 200  # for each dimension, which tells their standard deviation to a tenth in any direction


@torch.no_grad()
def posteriors(encoder: Encoder, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Batches of images B×3×H×W in [-1, 1] → the means and standard deviations of their latents, each N×latent_dim."""
    means, stds = [], []
    for images in batches:
        mean, log_variance = encoder(images)
        means.append(mean)
        stds.append((0.5 * log_variance).exp())
    return torch.cat(means), torch.cat(stds)


def moments(means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and covariance of the aggregate posterior, dim and dim×dim, on the CPU, whatever autocast says."""
    means, stds = means.cpu().double(), stds.cpu().double()  # not every device has doubles
    return means.mean(0), torch.cov(means.T) + torch.diag((stds**2).mean(0))


def fit_flow(
    flow: Flow,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
    steps: int,
    copies: tuple[Tensor, Tensor] | None = None,
    batch_size: int = 256,
    learning_rate: float = 3e-3,
) -> dict[str, float]:
    """Fits `flow` in place by maximum likelihood to samples of the posteriors `train` and `copies`, and keeps the state
    that is best on those of `val`. Its base is then stretched, and its samples are given the moments of `train`, since
    those of copies are wider, and what all places share still is too narrow; each if it is better on `val`. And no
    sample will be farther out than the farthest of `train`.

    Args:
        train, val: Means and standard deviations, each N×latent_dim.
        copies: Likewise, of changed copies of what `train` is of.
        steps: Steps of AdamW at most, with a cosine schedule; 0 only whitens.

    Returns:
        The cross entropy of the validation latents, in nats, under N(0, I), under the Gaussian, and under the flow.
    """
    fitted = train if copies is None else (torch.cat([train[0], copies[0]]), torch.cat([train[1], copies[1]]))
    flow.whiten(*moments(*fitted))
    generator = torch.Generator().manual_seed(0)

    def draw(means: Tensor, stds: Tensor) -> Tensor:
        noise = torch.randn(means.shape, generator=generator).to(means.device)
        return means + stds * noise

    held_out = draw(*val)

    @torch.no_grad()
    def score() -> float:
        return flow.negative_log_likelihood(held_out).mean().item()

    normal = 0.5 * (held_out**2 + math.log(2 * math.pi)).sum(1).mean().item()
    gaussian = best = score()
    best_step = 0
    best_state = copy.deepcopy(flow.state_dict())
    flow.requires_grad_(True)
    optimizer = torch.optim.AdamW(flow.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    with tqdm(range(1, steps + 1), desc="Fitting the prior", unit="step") as progress:
        for step in progress:
            rows = torch.randint(len(fitted[0]), (batch_size,), generator=generator).to(fitted[0].device)
            loss = flow.negative_log_likelihood(draw(fitted[0][rows], fitted[1][rows])).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(flow.parameters(), 10.0)
            optimizer.step()
            scheduler.step()
            if step % EVALUATE_EVERY == 0 or step == steps:
                value = score()
                progress.set_postfix(val_nats=f"{value:.1f}")
                if value < best:
                    best, best_step, best_state = value, step, copy.deepcopy(flow.state_dict())
                elif step - best_step >= PATIENCE * EVALUATE_EVERY:
                    break
    flow.load_state_dict(best_state)
    flow.requires_grad_(False)
    originals = draw(*train)
    flow.limit(originals)

    def stretch_base() -> None:
        chunks = zip(*(some.split(ENCODED) for some in fitted), strict=True)
        flow.stretch_base(torch.cat([flow(draw(*chunk))[0] for chunk in chunks]).cpu())

    def match_moments() -> None:
        dim = originals.shape[1]
        chunks = torch.randn(SAMPLES * dim, dim, generator=generator).split(ENCODED)
        flow.match_moments(torch.cat([flow.inverse(chunk.to(originals.device)) for chunk in chunks]), *moments(*train))
        flow.limit(originals)

    for change in (stretch_base, match_moments) if best_step else ():
        before = copy.deepcopy(flow.state_dict())
        change()
        value = score()
        if value < best:
            best = value
        else:  # so few latents that their directions are chance
            flow.load_state_dict(before)
    return {"prior/normal_nats": normal, "prior/gaussian_nats": gaussian, "prior/flow_nats": best}
