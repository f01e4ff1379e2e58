"""The base of models that train against a discriminator."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from face_generation.losses import GradientPenalty, NonSaturating, RelativisticPairing
from face_generation.models.augmentation import draw_augmentation
from face_generation.models.base import FaceModel


class AdversarialModel(FaceModel):
    """A model that trains against a discriminator. It steps its optimizers by itself.

    Args:
        discriminator: Network from images N×3×H×W to logits, which are higher for photos.
        adversarial: Loss of generator and discriminator.
        penalty: Penalty on the discriminator's gradients.
        augment: Show images to the discriminator through differentiable augmentation (Zhao et al. 2020), so that it can
            learn from few. A photo and the image that it is compared with get the same augmentation.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        adversarial: NonSaturating | RelativisticPairing,
        penalty: GradientPenalty,
        augment: bool,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.discriminator = discriminator
        self.adversarial = adversarial
        self.penalty = penalty
        self.augment = augment

    def train_discriminator(self, optimizer: Any, photos: Tensor, images: Tensor) -> dict[str, Tensor]:
        """Takes one step of the discriminator on photos and the model's images, N×3×H×W each. Returns figures to
        log."""
        photos, images = self._augmented(photos, images.detach())
        real, fake = self._logits(photos, images)
        figures = {"discriminator_loss": self.adversarial.discriminator(real, fake)}
        loss = figures["discriminator_loss"]
        if self.penalty.due(self.trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1):
            figures["gradient_penalty"] = self.penalty(self.discriminator, photos, images)
            loss = loss + figures["gradient_penalty"]
        optimizer.zero_grad()
        self.manual_backward(loss)
        figures["discriminator_gradient_norm"] = torch.nn.utils.get_total_norm(
            [parameter.grad for parameter in self.discriminator.parameters() if parameter.grad is not None]
        )
        optimizer.step()
        return figures | {"real_logit": real.mean(), "fake_logit": fake.mean()}

    def adversarial_loss(self, photos: Tensor, images: Tensor) -> Tensor:
        """The generator's loss, a scalar. Its gradient passes through the discriminator but leaves its weights
        alone."""
        self.discriminator.requires_grad_(False)
        loss = self.adversarial.generator(*self._logits(*self._augmented(photos, images)))
        self.discriminator.requires_grad_(True)
        return loss

    def _logits(self, photos: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        real, fake = self.discriminator(torch.cat([photos, images])).float().chunk(2)
        return real, fake

    def _augmented(self, photos: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        images = images.float()  # they come in bf16, and the discriminator must see both with the same precision
        if not self.augment:
            return photos, images
        augment = draw_augmentation(len(photos), photos.device)
        return augment(photos), augment(images)


def diversity(images: Tensor) -> Tensor:
    """How much images N×3×H×W differ from each other: the standard deviation between images of 10×10 cells, averaged.

    Cells average out pixel noise, which differs even when a generator draws one face only.
    """
    return F.adaptive_avg_pool2d(images.detach().float(), 10).std(0).mean()
