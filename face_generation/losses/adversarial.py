"""The losses of generators and discriminators."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NonSaturating(nn.Module):
    """The non-saturating logistic loss (Goodfellow et al. 2014). Its gradient does not vanish when the discriminator is
    sure."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Logits of photos and of samples, of one shape, positive for real → a scalar."""
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The same logits → a scalar."""
        return F.softplus(-fake).mean()


class RelativisticPairing(nn.Module):
    """The loss of R3GAN (Huang et al. 2024; Jolicoeur-Martineau 2019): each photo is paired with a sample, and the
    discriminator says which of the two is the photo.

    A generator that drops modes loses the pairs with the photos that it never draws. The plain logistic loss does not
    punish that. The loss converges with gradient penalties on photos and on samples (`GradientPenalty`).
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Logits of photos and of samples, of one shape → a scalar."""
        return F.softplus(fake - real).mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The same logits → a scalar."""
        return F.softplus(real - fake).mean()


class GradientPenalty(nn.Module):
    """γ/2·E‖∇D‖² (R1 on photos, R2 on samples; Mescheder et al. 2018).

    If a discriminator has a logit for each patch, the penalty is the mean over patches, as their loss is. Gradients of
    overlapping patches are assumed to be orthogonal.

    Args:
        weight: γ. 0 switches the penalty off.
        interval: Steps between penalties. Each then counts `interval` times (lazy regularisation; Karras et al. 2020).
    """

    def __init__(self, weight: float, interval: int) -> None:
        super().__init__()
        self.weight = weight
        self.interval = interval

    def due(self, step: int) -> bool:
        """Whether the step with this number, counted from 0, has a penalty."""
        return self.weight > 0 and step % self.interval == 0

    def forward(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Photos and samples N×3×H×W → a scalar, in float32, because squares of bf16 gradients are mostly noise."""
        images = torch.cat([real, fake])
        with torch.autocast(images.device.type, enabled=False):
            images = images.detach().float().requires_grad_()
            # A compiled network has no second derivative, so its plain `forward` is called.
            logits = discriminator.forward(images)
            (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        return 0.5 * self.weight * self.interval * gradient.square().sum() / (len(real) * logits[0].numel())
