"""A normalizing flow on latents at places: the learned prior.

A stack of affine couplings (RealNVP, Dinh et al. 2017) with small convolutional networks (as in Glow, Kingma & Dhariwal
2018) and a perfect shuffle of the channels between them, as of cards: after log2(channels) layers every channel has met
every other. It maps latents to a standard normal and, exactly, back.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_LOG_SCALE = 1.5  # per coupling; keeps the inverse well conditioned
AXES = 128  # along which the base is stretched or squeezed; it fits well enough along others
STRETCHED = 3 / 4  # of the way: all of it makes the widest ones too wide, for the couplings are not linear
TOLERANCE = 0.25  # by which log standard deviations of 500 dimensions differ by chance in some 10,000 latents
PRINCIPAL = 64  # axes along which latents vary most: light, colours, pose. The widths of so few are told from chance


class AffineCoupling(nn.Module):
    """Scales and shifts one half of the channels by amounts that a small network reads off the other half."""

    def __init__(self, shape: tuple[int, int, int], hidden: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.first = nn.Conv2d(channels // 2, hidden, 3, padding=1)
        self.places = nn.Parameter(torch.zeros(hidden, height, width))  # eyes are not where hair is
        self.second = nn.Conv2d(hidden, hidden, 1)
        self.last = nn.Conv2d(hidden, channels, 3, padding=1)
        # A new coupling is the identity.
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def _amounts(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.silu(self.first(kept) + self.places)
        log_scale, shift = self.last(hidden + F.silu(self.second(hidden))).chunk(2, dim=1)
        return MAX_LOG_SCALE * torch.tanh(log_scale / MAX_LOG_SCALE), shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, changed = x.chunk(2, dim=1)
        log_scale, shift = self._amounts(kept)
        return torch.cat([kept, (changed + shift) * log_scale.exp()], dim=1), log_scale.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        kept, changed = y.chunk(2, dim=1)
        log_scale, shift = self._amounts(kept)
        return torch.cat([kept, changed * (-log_scale).exp() - shift], dim=1)


def shuffle(x: Tensor) -> Tensor:
    """Odd channels first, then the even ones: N×C×H×W → N×C×H×W, C even."""
    return torch.cat([x[:, 1::2], x[:, ::2]], dim=1)


def unshuffle(x: Tensor) -> Tensor:
    """Undoes `shuffle`."""
    odd, even = x.chunk(2, dim=1)
    return torch.stack([even, odd], dim=2).flatten(1, 2)


class Flow(nn.Module):
    """Invertible map between latents and a standard normal.

    Args:
        shape: Of the latents: channels, an even number, height and width; `dim` in all.
        couplings: Number of coupling layers; 0 leaves only the linear layers.
        hidden: Channels of each coupling's network.

    A new flow only reorders, so it maps N(0, I) to N(0, I). `whiten` sets its first, linear layer from data, which
    alone makes it a Gaussian with full covariance; training the couplings does the rest. `stretch_base` then sets its
    last, linear layer: couplings see a place and those around it, and leave what all places share too narrow.
    `match_moments` corrects the first one, for samples that should be like some other latents than those it was trained
    on, and for what is still too narrow. And `limit` sets how far from the mean latents may be, once whitened: affine
    couplings send a few normal vectors very far out (Behrmann et al. 2021). Those are brought back, so of them alone
    `forward` is not the inverse of `inverse`.
    """

    axes: Tensor
    stretch: Tensor
    mean: Tensor
    colouring: Tensor
    whitening: Tensor
    log_determinant: Tensor
    reach: Tensor

    def __init__(self, shape: tuple[int, int, int], couplings: int, hidden: int) -> None:
        super().__init__()
        self.shape = shape
        self.couplings = nn.ModuleList(AffineCoupling(shape, hidden) for _ in range(couplings))
        dim = math.prod(shape)
        self.register_buffer("axes", torch.eye(dim, min(AXES, dim)))
        self.register_buffer("stretch", torch.ones(min(AXES, dim)))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("colouring", torch.eye(dim))
        self.register_buffer("whitening", torch.eye(dim))  # its inverse
        self.register_buffer("log_determinant", torch.zeros(()))  # of the whitening
        self.register_buffer("reach", torch.tensor(math.inf))

    @torch.no_grad()
    def whiten(self, mean: Tensor, covariance: Tensor) -> None:
        """Sets the linear layer so that N(mean, covariance) becomes N(0, I); shapes dim and dim×dim.

        Of all such layers it is the one that moves latents least (ZCA; Kessy et al. 2018), so that each still belongs
        to its place.
        """
        variances, axes = torch.linalg.eigh(covariance.double())
        self.mean.copy_(mean)
        self.colouring.copy_((axes * variances.sqrt()) @ axes.T)
        self.whitening.copy_((axes / variances.sqrt()) @ axes.T)
        self.log_determinant.copy_(-0.5 * variances.log().sum())

    @torch.no_grad()
    def stretch_base(self, normal: Tensor) -> None:
        """Sets the last layer of a flow that has none yet, from the normal vectors of the latents that it was fitted
        to: N×dim, N(0, I) if the fit was perfect.

        Along the principal axes where it is worst, the base is made nearly as wide as they are.
        """
        variances, axes = torch.linalg.eigh(torch.cov(normal.T.double()))
        worst = variances.clamp_min(1e-6).log().abs().topk(len(self.stretch)).indices
        self.axes.copy_(axes[:, worst])
        self.stretch.copy_((1 + STRETCHED * (variances[worst] - 1)).sqrt())

    @torch.no_grad()
    def match_moments(self, samples: Tensor, mean: Tensor, covariance: Tensor) -> None:
        """Gives samples, of which there are N×dim, this mean; and this covariance along its principal axes, and along
        others where they are clearly wider or narrower. Shapes dim and dim×dim.
        """
        white = self._whitened(samples).cpu()  # not every device has doubles
        colouring, covariance = self.colouring.cpu().double(), covariance.cpu().double()
        principal = torch.linalg.eigh(covariance).eigenvectors[:, -PRINCIPAL:]
        actual = torch.cov(white.T).double()

        def transport(colouring: Tensor, basis: Tensor) -> Tensor:
            wanted = torch.linalg.solve(colouring, basis.T, left=False)  # along the basis, whitened
            return _transport(basis.T @ actual @ basis, wanted @ covariance @ wanted.T)

        factors, axes = torch.linalg.eigh(transport(colouring, torch.eye(len(mean)).double()))
        factors = torch.where(factors.log().abs() > TOLERANCE, factors, 1.0)
        colouring = colouring @ (axes * factors) @ axes.T
        basis = torch.linalg.qr(colouring.T @ principal).Q
        colouring = colouring + colouring @ basis @ (transport(colouring, basis) @ basis.T - basis.T)
        self.colouring.copy_(colouring)
        self.whitening.copy_(torch.linalg.inv(colouring))
        self.mean.copy_(mean.cpu() - colouring @ white.mean(0).double())
        self.log_determinant.copy_(-torch.linalg.slogdet(colouring).logabsdet)

    @torch.no_grad()
    def limit(self, latents: Tensor) -> None:
        """Sets how far latents may be from the mean, once whitened: as the farthest of N×dim."""
        self.reach.copy_(self._whitened(latents).norm(dim=1).max())

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Latents N×dim → normal vectors N×dim, and the log determinant of the map, N."""
        x = self._whitened(latents).unflatten(1, self.shape)
        # x.shape[0], since len(x) would be a constant in an export.
        log_determinant = self.log_determinant.expand(x.shape[0])
        for coupling in self.couplings:
            x, change = coupling(shuffle(x))
            log_determinant = log_determinant + change
        normal = self._along_axes(x.flatten(1), 1 / self.stretch)
        return normal, log_determinant - self.stretch.log().sum()

    def inverse(self, normal: Tensor) -> Tensor:
        """Normal vectors N×dim → latents N×dim, none of them beyond its reach."""
        x = self._along_axes(normal, self.stretch).unflatten(1, self.shape)
        for coupling in reversed(self.couplings):
            x = unshuffle(coupling.inverse(x))  # type: ignore[operator]
        white = x.flatten(1)
        white = white * (self.reach / white.norm(dim=1, keepdim=True)).clamp_max(1)
        return white @ self.colouring.T + self.mean

    def _whitened(self, latents: Tensor) -> Tensor:
        return (latents - self.mean) @ self.whitening.T

    def _along_axes(self, x: Tensor, factor: Tensor) -> Tensor:
        """Multiplies vectors N×dim by a factor along each axis."""
        return x + (x @ self.axes * (factor - 1)) @ self.axes.T

    def negative_log_likelihood(self, latents: Tensor) -> Tensor:
        """Latents N×dim → −log p(latents) in nats, N."""
        normal, log_determinant = self(latents)
        return 0.5 * (normal**2 + math.log(2 * math.pi)).sum(1) - log_determinant


def _transport(actual: Tensor, wanted: Tensor) -> Tensor:
    """Of all linear maps that give a Gaussian of one covariance the other, the one that moves it least (Dowson & Landau
    1982)."""
    root, inverse = (_power(actual, exponent) for exponent in (0.5, -0.5))
    return inverse @ _power(root @ wanted @ root, 0.5) @ inverse


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Of a symmetric, positive definite matrix."""
    values, axes = torch.linalg.eigh(matrix)
    return (axes * values**exponent) @ axes.T
