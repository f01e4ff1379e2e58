"""The autoencoder of the main model: a convolutional VAE whose latents hold who somebody is."""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from face_generation import randomness
from face_generation.data.datamodule import to_float
from face_generation.errors import UserError
from face_generation.losses import (
    FeatureLikelihood,
    GradientPenalty,
    KLDivergence,
    NonSaturating,
    PixelLikelihood,
    RelativisticPairing,
)
from face_generation.models.adversarial import AdversarialModel
from face_generation.models.calibration import fresh_statistics
from face_generation.models.schedules import MakeSchedule, every_step
from face_generation.networks import Decoder, Encoder, PatchDiscriminator

log = logging.getLogger(__name__)
CALIBRATION_BATCHES = 20  # training batches that statistics are measured over
STATISTICS_RATE = 0.01  # update rate of the latents' running mean and deviation: an average over a hundred batches


class VAE(AdversarialModel):
    """Variational autoencoder (Kingma & Welling 2014) with a perceptual likelihood and an adversarial loss.

    It is trained like the autoencoders of VQGAN and latent diffusion (Esser et al. 2021; Rombach et al. 2022). At first
    the losses are the likelihood of pixels and features and the KL divergence. Later a discriminator joins, which
    compares reconstructions with their originals and makes them sharp. From then on the encoder stays as it is and only
    the decoder learns, so that latents hold what the likelihood asks for. The KL divergence has little weight, so
    latents are far from N(0, I), and a prior (`Prior`) learns their distribution afterwards. Without a prior, faces are
    drawn from a Gaussian with the latents' mean and standard deviation of each channel.

    Args:
        image_size: Height and width of the images, in pixels; even.
        encoder: Images → posteriors.
        decoder: Makes the decoder from the image size.
        discriminator, adversarial, penalty, augment: As for `AdversarialModel`.
        optimizer: Makes the optimizer of encoder and decoder from their parameters.
        decoder_optimizer: Makes the optimizer of the decoder, once the discriminator has joined.
        discriminator_optimizer: Makes the optimizer of the discriminator.
        scheduler: Makes the schedule of each learning rate, as for `every_step`.
        pixel_weight, feature_weight, kl_weight: Weights of the losses, which are all in nats.
        adversarial_weight: Weight of the discriminator's loss beside the other losses' nats per value. It is constant,
            unlike the adaptive weight of VQGAN, which pulls hardest when the discriminator knows least.
        adversarial_epoch: First epoch, counted from 0, in which the discriminator trains and the encoder does not.
        noise: Largest standard deviation of the noise on decoded latents, relative to that of the latents. A decoder
            that has learned with noise forgives a prior's small errors (Zheng et al. 2025).
        clip: Largest norm of the gradients of encoder and decoder. Longer gradients are shortened.

    Raises:
        UserError: An argument is out of range, or the networks do not fit each other.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        image_size: int,
        encoder: Encoder,
        decoder: Callable[..., Decoder],
        discriminator: PatchDiscriminator,
        adversarial: NonSaturating | RelativisticPairing,
        penalty: GradientPenalty,
        optimizer: Callable[[Iterable[Tensor]], Optimizer],
        decoder_optimizer: Callable[[Iterable[Tensor]], Optimizer],
        discriminator_optimizer: Callable[[Iterable[Tensor]], Optimizer],
        scheduler: MakeSchedule,
        pixel_weight: float,
        feature_weight: float,
        kl_weight: float,
        adversarial_weight: float,
        adversarial_epoch: int,
        noise: float,
        clip: float,
        augment: bool,
    ) -> None:
        super().__init__(discriminator, adversarial, penalty, augment)
        if image_size % 2:
            raise UserError(f"images of {image_size} pixels cannot be halved; pack splits of an even size")
        self.encoder = encoder
        self.decoder = decoder(image_size=image_size)
        self.latent_shape = self.decoder.latent_shape
        posterior, _ = encoder.eval()(torch.zeros(1, 3, image_size, image_size))
        encoder.train()
        if posterior.shape[1:] != self.latent_shape:
            raise UserError(
                f"the encoder makes latents of shape {tuple(posterior.shape[1:])}, and the decoder takes "
                f"{self.latent_shape}; give model.decoder.channels one number more than model.encoder.channels"
            )
        self.pixels, self.kl = PixelLikelihood(), KLDivergence()
        self.features = FeatureLikelihood() if feature_weight else None
        self.make_optimizers = optimizer, decoder_optimizer, discriminator_optimizer
        self.make_scheduler = scheduler
        self.losses = ("pixels", "likelihood", *(["EfficientNet-Lite0"] if feature_weight else []))
        self.weights = {"pixels": pixel_weight, "features": feature_weight, "kl": kl_weight}
        self.adversarial_weight = adversarial_weight
        self.adversarial_epoch = adversarial_epoch
        self.noise = noise
        self.clip = clip
        channels = self.latent_shape[0]
        self.register_buffer("latent_mean", torch.zeros(channels, 1, 1))
        self.register_buffer("latent_std", torch.ones(channels, 1, 1))
        self.psnr = PeakSignalNoiseRatio(data_range=(-1.0, 1.0))
        self.ssim = StructuralSimilarityIndexMeasure(data_range=(-1.0, 1.0))
        self.to(memory_format=torch.channels_last)

    def to_latents(self, normal: Tensor) -> Tensor:
        """Normal vectors N×latent_dim → latents N×latent_dim."""
        return (normal.unflatten(1, self.latent_shape) * self.latent_std + self.latent_mean).flatten(1)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents N×latent_dim → images N×3×H×W in [-1, 1]."""
        return self.decoder(latents.unflatten(1, self.latent_shape)).clamp(-1, 1)

    def encode(self, images: Tensor) -> Tensor:
        """Images N×3×H×W in [-1, 1] → the means of their latents, N×latent_dim."""
        return self.encoder(images)[0].flatten(1)

    def preview(self, normal: Tensor, batch: Tensor) -> dict[str, Tensor]:
        """Draws images N×3×H×W: `reconstructions`, each beside its original, and `samples`."""
        originals = batch[: len(normal) // 2]
        beside = torch.stack([originals, self.decode(self.encode(originals))], dim=1).flatten(0, 1)
        return {"reconstructions": beside, "samples": self.decode(self.to_latents(normal))}

    def compile_networks(self) -> None:
        for network in (self.encoder, self.decoder, self.discriminator):
            network.compile()

    def on_fit_start(self) -> None:
        if self.adversarial_weight and self._first_epochs == self.trainer.max_epochs:
            log.warning(
                "No discriminator joins, because training ends before epoch %d: faces will be soft. "
                "Train longer, or set model.adversarial_epoch.",
                self.adversarial_epoch,
            )

    def on_train_start(self) -> None:
        self.on_train_epoch_start()  # which a training that resumes in the middle of an epoch does not see

    def on_train_epoch_start(self) -> None:
        if self._discriminator_joined:
            self.encoder.eval()
            self._measure_statistics(self.encoder)

    def training_step(self, images: Tensor, batch_idx: int) -> None:
        optimizers: Any = self.optimizers()  # LightningOptimizers, in the order of configure_optimizers
        schedulers: Any = self.lr_schedulers()
        joined = self._discriminator_joined
        learning = [self.decoder] if joined else [self.encoder, self.decoder]
        with torch.set_grad_enabled(self.encoder in learning):
            mean, log_variance = self.encoder(images)
        latents = mean + self._noise(mean) * (0.5 * log_variance).exp()
        self._track_statistics(latents.detach())
        amount = self.noise * randomness.uniform(len(latents), 1, 1, 1, device=self.device) * self.latent_std
        decoded = self.decoder(latents + amount * self._noise(latents)).float()
        reconstructions = decoded.detach().requires_grad_()  # gradients of likelihood and discriminator meet here
        losses = self._losses(reconstructions, images, mean, log_variance)
        figures = dict(losses)
        values = images[0].numel()  # losses are taken per value, so that gradients are of order one
        kl = self.weights["kl"] * losses.pop("kl") / values
        likelihood = self._weighted(losses) / values
        (gradient,) = torch.autograd.grad(likelihood, reconstructions)
        if joined:
            figures |= self.train_discriminator(optimizers[2], images, reconstructions)
            schedulers[2].step()
            figures["adversarial"] = self.adversarial_loss(images, reconstructions)
            (pull,) = torch.autograd.grad(figures["adversarial"], reconstructions)
            figures["adversarial_gradient"] = pull.norm() / gradient.norm()
            gradient = gradient + self.adversarial_weight * pull
        current = 1 if joined else 0
        optimizers[current].zero_grad()
        self.manual_backward((decoded * gradient).sum() + kl)
        figures["gradient_norm"] = torch.nn.utils.clip_grad_norm_(_parameters(learning), self.clip)
        optimizers[current].step()
        schedulers[current].step()
        figures["loss"] = likelihood + kl
        self.log_dict({f"train/{name}": value.detach() for name, value in figures.items()})

    def on_validation_epoch_start(self) -> None:
        self._measure_statistics(self.encoder, self.decoder)  # of the averaged weights, which validation uses

    def validation_step(self, images: Tensor, batch_idx: int) -> None:
        mean, log_variance = self.encoder(images)
        reconstructions = self.decoder(mean).float()
        losses = self._losses(reconstructions, images, mean, log_variance)
        with torch.autocast(images.device.type, enabled=False):  # SSIM differs in the second decimal in bf16
            self.psnr.update(reconstructions.clamp(-1, 1), images)
            self.ssim.update(reconstructions.clamp(-1, 1), images)
        figures: dict[str, Any] = {**losses, "loss": self._weighted(losses), "psnr": self.psnr, "ssim": self.ssim}
        self.log_dict({f"val/{name}": value for name, value in figures.items()}, sync_dist=True, batch_size=len(images))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        make, make_for_decoder, make_for_discriminator = self.make_optimizers
        optimizers = [
            make(_parameters([self.encoder, self.decoder])),
            make_for_decoder(self.decoder.parameters()),
            make_for_discriminator(self.discriminator.parameters()),
        ]

        def steps(joined: bool) -> float:
            """The number of steps before the discriminator joins, or after it."""
            total = self.trainer.estimated_stepping_batches
            before = min(self._first_epochs * self.trainer.num_training_batches, total)
            return total - before if joined else before

        names = {"autoencoder": False, "decoder": True, "discriminator": True}
        schedules: Any = [
            every_step(self.make_scheduler, optimizer, partial(steps, joined), name)
            for optimizer, (name, joined) in zip(optimizers, names.items(), strict=True)
        ]
        return optimizers, schedules

    @property
    def _first_epochs(self) -> float:
        """Epochs before the discriminator joins."""
        epochs = self.trainer.max_epochs
        limit = math.inf if epochs in (None, -1) else epochs
        return min(self.adversarial_epoch, limit) if self.adversarial_weight else limit

    @property
    def _discriminator_joined(self) -> bool:
        """Whether the discriminator has joined."""
        return self.adversarial_weight > 0 and self.current_epoch >= self.adversarial_epoch

    @torch.no_grad()
    def _measure_statistics(self, *networks: nn.Module) -> None:
        """Measures the statistics of the networks' batch normalisations on the first training images."""
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        with fresh_statistics(*networks):
            for batch in islice(datamodule.ordered_loader("train"), CALIBRATION_BATCHES):
                mean, _ = self.encoder(to_float(batch.to(self.device)))
                if self.decoder in networks:
                    self.decoder(mean)

    def _losses(self, reconstructions: Tensor, images: Tensor, mean: Tensor, log_variance: Tensor) -> dict[str, Tensor]:
        """The losses in nats per image, by the names of `weights`."""
        losses = {"pixels": self.pixels(reconstructions, images), "kl": self.kl(mean, log_variance)}
        if self.features is not None:
            losses["features"] = self.features(reconstructions, images)
        return losses

    def _weighted(self, losses: dict[str, Tensor]) -> Tensor:
        return torch.stack([self.weights[name] * value for name, value in losses.items()]).sum()

    def _noise(self, latents: Tensor) -> Tensor:
        return randomness.normal(*latents.shape, device=self.device)

    @torch.no_grad()
    def _track_statistics(self, latents: Tensor) -> None:
        """Updates the running statistics of the latents N×C×h×w."""
        rate = STATISTICS_RATE if self.global_step else 1.0
        self.latent_mean.lerp_(latents.mean((0, 2, 3)).view(-1, 1, 1), rate)
        self.latent_std.lerp_(latents.std((0, 2, 3)).view(-1, 1, 1), rate)


def _parameters(networks: Sequence[nn.Module]) -> list[Tensor]:
    return [parameter for network in networks for parameter in network.parameters()]
