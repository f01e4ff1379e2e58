"""The baseline: a deep convolutional generative adversarial network."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer

from face_generation import randomness
from face_generation.losses import GradientPenalty, NonSaturating, RelativisticPairing
from face_generation.metrics import Gap
from face_generation.metrics.wasserstein import mean_sliced_wasserstein
from face_generation.models.adversarial import AdversarialModel, diversity
from face_generation.models.base import to_bytes
from face_generation.models.calibration import fresh_statistics
from face_generation.models.schedules import MakeSchedule, every_step
from face_generation.networks import DCGANDiscriminator, DCGANGenerator

VALIDATION_FACES = 500  # most faces for the sliced Wasserstein distance, in each process
CALIBRATION_BATCHES = 16  # batches of 32 images


class DCGAN(AdversarialModel):
    """Generative adversarial network with convolutional networks (Goodfellow et al. 2014; Radford et al. 2016).

    Args:
        image_size: Height and width of the images, in pixels.
        generator: Makes the generator from the image size.
        discriminator: Makes the discriminator from the image size.
        optimizer, discriminator_optimizer: Make the optimizers from the parameters.
        scheduler: Makes the schedule of each learning rate, as for `every_step`.
        adversarial, penalty, augment: As for `AdversarialModel`.
    """

    def __init__(
        self,
        image_size: int,
        generator: Callable[..., DCGANGenerator],
        discriminator: Callable[..., DCGANDiscriminator],
        optimizer: Callable[[Iterable[Tensor]], Optimizer],
        discriminator_optimizer: Callable[[Iterable[Tensor]], Optimizer],
        adversarial: NonSaturating | RelativisticPairing,
        penalty: GradientPenalty,
        augment: bool,
        scheduler: MakeSchedule = None,
    ) -> None:
        super().__init__(discriminator(image_size=image_size), adversarial, penalty, augment)
        self.generator = generator(image_size=image_size)
        self.latent_shape = (self.generator.latent_dim,)
        self.make_optimizers = optimizer, discriminator_optimizer
        self.make_scheduler = scheduler
        self.to(memory_format=torch.channels_last)

    def decode(self, latents: Tensor) -> Tensor:
        """Standard normal vectors N×latent_dim → images N×3×H×W in [-1, 1]."""
        return self.generator(latents)

    def preview(self, normal: Tensor, batch: Tensor) -> dict[str, Tensor]:
        return {"samples": self.decode(normal)}

    @torch.no_grad()
    def calibrate(self) -> None:
        """Measures the statistics of the generator's batch normalisations with its current weights."""
        noise = torch.Generator().manual_seed(0)
        with fresh_statistics(self.generator):
            for _ in range(CALIBRATION_BATCHES):
                self.generator(torch.randn(32, *self.latent_shape, generator=noise).to(self.device))

    def compile_networks(self) -> None:
        self.generator.compile()
        self.discriminator.compile()

    def training_step(self, images: Tensor, batch_idx: int) -> None:
        optimizers: Any = self.optimizers()  # LightningOptimizers, in the order of configure_optimizers
        fakes = self.generator(self._normal(len(images)))
        figures = self.train_discriminator(optimizers[1], images, fakes)
        figures["generator_loss"] = self.adversarial_loss(images, fakes)
        optimizers[0].zero_grad()
        self.manual_backward(figures["generator_loss"])
        optimizers[0].step()
        schedulers: Any = self.lr_schedulers()
        for scheduler in schedulers:
            scheduler.step()
        figures["diversity"] = diversity(fakes) / diversity(images)
        self.log_dict({f"train/{name}": value for name, value in figures.items()})

    def on_validation_epoch_start(self) -> None:
        self.calibrate()
        self._faces: list[tuple[Tensor, Tensor]] = []

    def validation_step(self, images: Tensor, batch_idx: int) -> None:
        if sum(len(real) for real, _ in self._faces) < VALIDATION_FACES:
            drawn = self.decode(self._normal(len(images))).float()
            self._faces.append((to_bytes(images).cpu(), to_bytes(drawn).cpu()))

    def on_validation_epoch_end(self) -> None:
        real, fake = (torch.cat(faces).numpy() for faces in zip(*self._faces, strict=True))
        self._faces.clear()
        with suppress(Gap):  # there are too few faces, or samples have no detail
            self.log("val/swd", mean_sliced_wasserstein(fake, real, seed=0), sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        make, make_for_discriminator = self.make_optimizers
        optimizers = [make(self.generator.parameters()), make_for_discriminator(self.discriminator.parameters())]
        schedules: Any = [
            every_step(self.make_scheduler, optimizer, lambda: self.trainer.estimated_stepping_batches, name)
            for optimizer, name in zip(optimizers, ("generator", "discriminator"), strict=True)
        ]
        return optimizers, schedules

    def _normal(self, count: int) -> Tensor:
        return randomness.normal(count, *self.latent_shape, device=self.device)
