"""A normalizing flow on latent vectors: the learned prior.

A stack of affine couplings (RealNVP, Dinh et al. 2017) with a perfect shuffle between them, as of cards: after
log2(dim) layers every dimension has met every other. It maps latents to a standard normal and, exactly, back.
"""

import math

import torch
from torch import Tensor, nn

MAX_LOG_SCALE = 1.5  # per coupling; keeps the inverse well conditioned


class AffineCoupling(nn.Module):
    """Scales and shifts one half of a vector by amounts that a small network reads off the other half."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, dim)
        self.network = nn.Sequential(nn.Linear(dim // 2, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), last)
        # A new coupling is the identity.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def _amounts(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.network(kept).chunk(2, dim=1)
        return MAX_LOG_SCALE * torch.tanh(log_scale / MAX_LOG_SCALE), shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, changed = x.chunk(2, dim=1)
        log_scale, shift = self._amounts(kept)
        return torch.cat([kept, (changed + shift) * log_scale.exp()], dim=1), log_scale.sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        kept, changed = y.chunk(2, dim=1)
        log_scale, shift = self._amounts(kept)
        return torch.cat([kept, changed * (-log_scale).exp() - shift], dim=1)


def shuffle(x: Tensor) -> Tensor:
    """Odd columns first, then the even ones: N×dim → N×dim, dim even."""
    return torch.cat([x[:, 1::2], x[:, ::2]], dim=1)


def unshuffle(x: Tensor) -> Tensor:
    """Undoes `shuffle`."""
    odd, even = x.chunk(2, dim=1)
    return torch.stack([even, odd], dim=2).flatten(1)


class Flow(nn.Module):
    """Invertible map between latents and a standard normal.

    Args:
        dim: Dimensions of the vectors; even.
        couplings: Number of coupling layers; 0 leaves only the whitening.
        hidden: Width of each coupling's network.

    A new flow only reorders, so it maps N(0, I) to N(0, I). `whiten` sets its first, linear layer from data, which
    alone makes it a Gaussian with full covariance; training the couplings does the rest.
    """

    mean: Tensor
    colouring: Tensor
    whitening: Tensor

    def __init__(self, dim: int, couplings: int, hidden: int) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(AffineCoupling(dim, hidden) for _ in range(couplings))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("colouring", torch.eye(dim))  # lower triangular
        self.register_buffer("whitening", torch.eye(dim))  # its inverse

    @torch.no_grad()
    def whiten(self, mean: Tensor, covariance: Tensor) -> None:
        """Sets the linear layer so that N(mean, covariance) becomes N(0, I); shapes dim and dim×dim."""
        colouring = torch.linalg.cholesky(covariance.double())
        self.mean.copy_(mean)
        self.colouring.copy_(colouring)
        self.whitening.copy_(torch.linalg.inv(colouring))

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Latents N×dim → normal vectors N×dim, and the log determinant of the map, N."""
        x = (latents - self.mean) @ self.whitening.T
        # x.shape[0], since len(x) would be a constant in an export.
        log_determinant = self.whitening.diagonal().log().sum().expand(x.shape[0])
        for coupling in self.couplings:
            x, change = coupling(shuffle(x))
            log_determinant = log_determinant + change
        return x, log_determinant

    def inverse(self, normal: Tensor) -> Tensor:
        """Normal vectors N×dim → latents N×dim."""
        x = normal
        for coupling in reversed(self.couplings):
            x = unshuffle(coupling.inverse(x))  # type: ignore[operator]
        return x @ self.colouring.T + self.mean

    def negative_log_likelihood(self, latents: Tensor) -> Tensor:
        """Latents N×dim → −log p(latents) in nats, N."""
        normal, log_determinant = self(latents)
        return 0.5 * (normal**2 + math.log(2 * math.pi)).sum(1) - log_determinant
