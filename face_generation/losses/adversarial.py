"""The losses of generators and discriminators."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NonSaturating(nn.Module):
    """The logistic loss of Goodfellow et al. 2014, in the form whose gradient does not vanish where the discriminator
    is sure."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Logits of photos and of samples, of one shape, above 0 for real → a scalar."""
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The same logits → a scalar."""
        return F.softplus(-fake).mean()


class RelativisticPairing(nn.Module):
    """The loss of R3GAN (Huang et al. 2024; Jolicoeur-Martineau 2019): each photo is paired with a sample, and the
    discriminator says which of the two is the photo.

    A generator that drops modes loses the pairs of the photos that it does not draw, which the plain logistic loss
    does not punish. It converges with gradient penalties on photos and on samples; see `GradientPenalty`.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Logits of photos and of samples, of one shape → a scalar."""
        return F.softplus(fake - real).mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The same logits → a scalar."""
        return F.softplus(real - fake).mean()


class GradientPenalty(nn.Module):
    """γ/2·E‖∇D‖² (R1 on photos, R2 on samples; Mescheder et al. 2018).

    Where a discriminator has a logit for each patch, the mean over patches is taken, as it is of their losses. The
    gradients of patches that overlap are taken to be orthogonal.

    Args:
        weight: γ; 0 is none.
        interval: Steps between penalties, which then count as much more (lazy regularisation; Karras et al. 2020).
        both: Whether samples are penalised, too.
    """

    def __init__(self, weight: float, interval: int = 1, both: bool = True) -> None:
        super().__init__()
        self.weight = weight
        self.interval = interval
        self.both = both

    def due(self, step: int) -> bool:
        return self.weight > 0 and step % self.interval == 0

    def forward(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Photos and samples N×3×H×W → a scalar. In float32, because the square of a bf16 gradient is mostly noise."""
        images = torch.cat([real, fake]) if self.both else real
        with torch.autocast(images.device.type, enabled=False):
            images = images.detach().float().requires_grad_()
            # Not the compiled network, which has no second derivative.
            logits = discriminator.forward(images)
            (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        return 0.5 * self.weight * self.interval * gradient.square().sum() / (len(real) * logits[0].numel())
