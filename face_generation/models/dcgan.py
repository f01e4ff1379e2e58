"""The baseline: a deep convolutional generative adversarial network."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from face_generation.errors import UserError
from face_generation.metrics import Gap
from face_generation.metrics.wasserstein import mean_sliced_wasserstein
from face_generation.models.adversarial import descend, diversity
from face_generation.models.augmentation import diff_augment
from face_generation.models.base import FaceModel
from face_generation.networks import DCGANDiscriminator, DCGANGenerator

BETAS = (0.5, 0.999)  # of Adam, as in Radford et al. 2016
VALIDATION_FACES = 500  # for the sliced Wasserstein distance, at most, per process
CALIBRATION_BATCHES = 16  # of 32 images
R1_INTERVAL = 16  # steps between gradient penalties (lazy regularisation, Karras et al. 2020)


class DCGAN(FaceModel):
    """Generative adversarial network with convolutional networks (Goodfellow et al. 2014, Radford et al. 2016).

    The loss is the non-saturating logistic one. What is added to the recipe of 2016 makes it train reliably on few
    images, and each part can be switched off: two learning rates (TTUR, Heusel et al. 2017), differentiable
    augmentation (Zhao et al. 2020), spectral normalisation (Miyato et al. 2018) or the R1 gradient penalty (Mescheder
    et al. 2018), and the averaging of the generator's weights, which is the callback `ema`.

    Args:
        latent_dim: Dimensions of the latent vector.
        generator_channels: Channels of the generator at each resolution, from the smallest feature map up to the image.
        discriminator_channels: Channels of the discriminator at each resolution, from half the image size down.
        image_size: Height and width of the images, in pixels.
        generator_learning_rate: Of Adam; constant.
        discriminator_learning_rate: Likewise.
        discriminator_norm: `spectral`, `batch` or `none`.
        r1_weight: γ of the penalty γ/2·E‖∇D(real)‖²; 0 for none.
        augment: Whether the discriminator sees real and generated images through differentiable augmentation.

    Raises:
        UserError: An argument is out of range, or a checkpoint of another architecture is loaded.
    """

    def __init__(
        self,
        latent_dim: int = 128,
        generator_channels: Sequence[int] = (384, 256, 160, 96, 48, 16),
        discriminator_channels: Sequence[int] = (32, 64, 128, 256, 512),
        image_size: int = 150,
        generator_learning_rate: float = 2e-4,
        discriminator_learning_rate: float = 4e-4,
        discriminator_norm: str = "spectral",
        r1_weight: float = 0.0,
        augment: bool = True,
    ) -> None:
        super().__init__()
        _check(latent_dim, [*generator_channels, *discriminator_channels], image_size, discriminator_norm, r1_weight)
        self.save_hyperparameters(logger=False)  # the tracker logs the whole configuration
        self.automatic_optimization = False  # two optimizers, each with its own loss
        self.latent_dim = latent_dim
        self.generator = DCGANGenerator(latent_dim, generator_channels, image_size)
        self.discriminator = DCGANDiscriminator(discriminator_channels, image_size, discriminator_norm)
        self.to(memory_format=torch.channels_last)

    def sample(self, normal: Tensor) -> Tensor:
        """Standard normal vectors N×latent_dim → images N×3×H×W in [-1, 1]."""
        return self.generator(normal)

    @torch.no_grad()
    def calibrate(self) -> None:
        """Measures what the generator's batch normalisations kept a running mean of, on its own feature maps. Those of
        averaged weights vary less than those they are an average of, so the running means would wash the image out.
        """
        norms = [module for module in self.generator.modules() if isinstance(module, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
        mode = self.generator.training
        self.generator.train()
        noise = torch.Generator().manual_seed(0)
        for _ in range(CALIBRATION_BATCHES):
            self.generator(torch.randn(32, self.latent_dim, generator=noise).to(self.device))
        self.generator.train(mode)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def compile_networks(self) -> None:
        self.generator.compile()
        self.discriminator.compile()

    def training_step(self, images: Tensor, batch_idx: int) -> None:
        optimizers: Any = self.optimizers()  # LightningOptimizers, in the order of configure_optimizers
        generator_optimizer, discriminator_optimizer = optimizers
        fakes = self.generator(self._normal(len(images)))

        real_logits = self._judge(images)
        fake_logits = self._judge(fakes.detach())
        discriminator_loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        loss = discriminator_loss
        batch = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1
        if self.hparams["r1_weight"] and batch % R1_INTERVAL == 0:
            penalty = self._gradient_penalty(images)
            self.log("train/r1", penalty)
            loss = loss + 0.5 * self.hparams["r1_weight"] * R1_INTERVAL * penalty
        discriminator_norm = descend(self, discriminator_optimizer, loss, self.discriminator)

        self.discriminator.requires_grad_(False)  # the generator's gradient passes through it, and changes nothing
        generator_loss = F.softplus(-self._judge(fakes)).mean()
        generator_norm = descend(self, generator_optimizer, generator_loss, self.generator)
        self.discriminator.requires_grad_(True)

        self.log_dict(
            {
                "train/generator_loss": generator_loss,
                "train/discriminator_loss": discriminator_loss,
                "train/real_probability": real_logits.sigmoid().mean(),
                "train/fake_probability": fake_logits.sigmoid().mean(),
                "train/generator_gradient_norm": generator_norm,
                "train/discriminator_gradient_norm": discriminator_norm,
                "train/diversity": diversity(fakes) / diversity(images),
            }
        )

    def on_validation_epoch_start(self) -> None:
        self.calibrate()
        self._faces: list[tuple[Tensor, Tensor]] = []

    def validation_step(self, images: Tensor, batch_idx: int) -> None:
        if sum(len(real) for real, _ in self._faces) < VALIDATION_FACES:
            self._faces.append((_to_bytes(images), _to_bytes(self.sample(self._normal(len(images))))))

    def on_validation_epoch_end(self) -> None:
        real, fake = (torch.cat(faces).numpy() for faces in zip(*self._faces, strict=True))
        self._faces.clear()
        with suppress(Gap):  # too few faces, or samples without any detail
            self.log("val/swd", mean_sliced_wasserstein(fake, real, seed=0), sync_dist=True)

    def configure_optimizers(self) -> list[Optimizer]:
        generator, discriminator = (self.hparams[f"{name}_learning_rate"] for name in ("generator", "discriminator"))
        return [
            Adam(self.generator.parameters(), lr=generator, betas=BETAS, fused=True),
            Adam(self.discriminator.parameters(), lr=discriminator, betas=BETAS, fused=True),
        ]

    def _normal(self, count: int) -> Tensor:
        return torch.randn(count, self.latent_dim, device=self.device)

    def _judge(self, images: Tensor) -> Tensor:
        images = images.float()  # generated ones come in bf16, and both are to be augmented alike
        return self.discriminator(diff_augment(images) if self.hparams["augment"] else images).float()

    def _gradient_penalty(self, images: Tensor) -> Tensor:
        """E‖∇D(real)‖², in float32: the square of a bf16 gradient is mostly noise."""
        with torch.autocast(images.device.type, enabled=False):
            images = images.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self._judge(images).sum(), images, create_graph=True)
        return gradient.square().sum((1, 2, 3)).mean()


def _to_bytes(images: Tensor) -> Tensor:
    return images.float().add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()


def _check(latent_dim: int, widths: Sequence[int], image_size: int, norm: str, r1_weight: float) -> None:
    if not isinstance(latent_dim, int) or latent_dim < 1:
        raise UserError(f"model.latent_dim={latent_dim}; give a whole number of at least 1")
    if not all(isinstance(width, int) and width > 0 for width in widths):
        raise UserError("model.generator_channels and model.discriminator_channels take whole numbers above 0")
    if not isinstance(image_size, int) or image_size < 1:
        raise UserError(f"model.image_size={image_size}; give a whole number of pixels")
    if norm not in ("spectral", "batch", "none"):
        raise UserError(f"model.discriminator_norm={norm}; choose spectral, batch or none")
    if r1_weight < 0:
        raise UserError(f"model.r1_weight={r1_weight}; give 0 or more")
