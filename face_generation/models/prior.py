"""The prior: turns normal vectors and attributes into latents that an autoencoder decodes."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from face_generation import randomness
from face_generation.data.datamodule import to_float
from face_generation.errors import UserError
from face_generation.generator import Bundle, Generator
from face_generation.generator.bundle import ENCODER
from face_generation.losses import FlowMatching
from face_generation.models.base import FaceModel
from face_generation.models.schedules import MakeSchedule, every_step
from face_generation.networks import FlowSampler, FlowTransformer

TOLD = (1.0, 0.0)  # the validation loss is measured with all attributes told, and with none


class Prior(FaceModel):
    """Flow matching on the latents of a trained autoencoder (Lipman et al. 2023; Rombach et al. 2022).

    It is told some of a face's attributes. So faces can be asked for by attribute, and guidance keeps together what
    belongs together (Ho & Salimans 2022).

    Args:
        latent_shape: Channels, height and width of the latents.
        latent_mean, latent_std: Mean and standard deviation of each channel over the training faces, which normalise
            latents.
        attributes: Names of the attributes that the prior can be told.
        autoencoder: Name or folder of the bundle whose latents it learns.
        encoder_sha256: Checksum of that bundle's encoder. A decoder of another would not draw these latents.
        network: Makes the network from `latent_shape` and the number of attributes.
        loss: Loss of the network's velocities.
        optimizer: Makes the optimizer from the parameters.
        scheduler: Makes the schedule of the learning rate, as for `every_step`.
        told_nothing: Share of a batch that is told no attributes.
        told_all: Share of a batch that is told all attributes. The rest is told a random share of them.
        steps: Steps of Heun's method when faces are drawn.
        guidance: Strength of guidance when faces are drawn; 1 is none.

    Raises:
        UserError: An argument is out of range.
    """

    def __init__(
        self,
        latent_shape: Sequence[int],
        latent_mean: Sequence[float],
        latent_std: Sequence[float],
        attributes: Sequence[str],
        autoencoder: str,
        encoder_sha256: str,
        network: Callable[..., FlowTransformer],
        loss: FlowMatching,
        optimizer: Callable[[Iterable[Tensor]], Optimizer],
        scheduler: MakeSchedule,
        told_nothing: float,
        told_all: float,
        steps: int,
        guidance: float,
    ) -> None:
        super().__init__()
        if told_nothing < 0 or told_all < 0 or told_nothing + told_all > 1:
            raise UserError("model.told_nothing and model.told_all are shares; give two of at most 1 together")
        channels, height, width = latent_shape
        self.latent_shape = (channels, height, width)
        self.attributes = list(attributes)
        self.autoencoder, self.encoder_sha256 = autoencoder, encoder_sha256
        self.told_nothing, self.told_all = told_nothing, told_all
        self.network = network(latent_shape=self.latent_shape, attributes=len(attributes))
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (latent_mean, latent_std))
        self.to_latents = FlowSampler(self.network, mean, std, steps, guidance)
        self.resample()
        self.loss = loss
        self.make_optimizer, self.make_scheduler = optimizer, scheduler

    def load_autoencoder(self) -> Bundle:
        """Loads the bundle whose latents the prior learned.

        Raises:
            UserError: The bundle is gone, or has another encoder.
        """
        bundle = Bundle.load(self.autoencoder)
        if bundle.files[ENCODER] != self.encoder_sha256:
            raise UserError(f"{self.autoencoder} has another encoder than when the prior was trained; train it again")
        return bundle

    @cached_property
    def _generator(self) -> Generator:
        return Generator(self.load_autoencoder())

    def preview(self, normal: Tensor, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Draws images N×3×H×W: `samples`, told the attributes of validation faces, and `untold`, told nothing."""
        _, attributes = batch
        rows = attributes[torch.arange(len(normal)) % len(attributes)]
        return {
            name: self._decode(self.to_latents(normal, told))
            for name, told in (("samples", rows), ("untold", torch.zeros_like(rows)))
        }

    def _decode(self, latents: Tensor) -> Tensor:
        images = self._generator.decode(latents.float().cpu().numpy())
        return to_float(torch.from_numpy(np.asarray(images)))

    def resample(self, autoencoder: str | None = None, **sampling: Any) -> None:
        self.autoencoder = autoencoder or self.autoencoder
        for name, value in sampling.items():
            setattr(self.to_latents, name, value)
        if self.to_latents.steps < 1 or self.to_latents.guidance < 0:
            raise UserError("a prior's steps are a whole number from 1 on, and its guidance is a number from 0 on")

    def compile_networks(self) -> None:
        self.network.compile()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        latents, attributes = batch
        loss = self.loss(self.network, self._normalised(latents), attributes * self._choose_told(attributes))
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        latents, attributes = batch
        seed = torch.initial_seed()  # of this batch, as StepSeeds sets it
        losses = []
        for share in TOLD:  # with the same noise and times
            torch.manual_seed(seed)
            losses.append(self.loss(self.network, self._normalised(latents), share * attributes))
        told, untold = losses
        self.log_dict(
            {"val/loss": (told + untold) / 2, "val/loss_told": told, "val/loss_untold": untold},
            sync_dist=True,
            batch_size=len(latents),
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = self.make_optimizer(self.network.parameters())
        schedule: Any = every_step(
            self.make_scheduler, optimizer, lambda: self.trainer.estimated_stepping_batches, "prior"
        )
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clips the gradient norm to `trainer.gradient_clip_val` and logs the norm before clipping. Lightning's own
        clipping refuses fused optimizers, because fp16 scales gradients; bf16 does not."""
        limit = gradient_clip_val or math.inf
        self.log("train/gradient_norm", torch.nn.utils.clip_grad_norm_(self.network.parameters(), limit))

    def _normalised(self, latents: Tensor) -> Tensor:
        """Latents N×latent_dim → N×C×H×W, each channel of mean 0 and standard deviation 1 over the training faces."""
        return (latents.unflatten(1, self.latent_shape) - self.to_latents.mean) / self.to_latents.std

    def _choose_told(self, attributes: Tensor) -> Tensor:
        """Chooses at random which of the attributes N×K to tell: 1 if told, 0 if not."""
        kind, share = randomness.uniform(len(attributes), 2, 1, device=attributes.device).unbind(1)
        share = torch.where(kind < self.told_nothing + self.told_all, 1.0, share)
        share = torch.where(kind < self.told_nothing, 0.0, share)
        return (randomness.uniform(*attributes.shape, device=attributes.device) < share).float()
