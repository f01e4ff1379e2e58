"""The main model: a convolutional variational autoencoder with a learned prior."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure
from tqdm import tqdm

from face_generation.data.datamodule import PackedDataModule, to_float
from face_generation.errors import UserError
from face_generation.hardware import best_precision
from face_generation.metrics import Gap
from face_generation.metrics.likelihood import bits_per_dim
from face_generation.models.base import FaceModel
from face_generation.models.jitter import jitter
from face_generation.models.prior import fit_flow, moments, posteriors
from face_generation.networks import Decoder, Encoder, FeatureNetwork, Flow


class VAE(FaceModel):
    """Variational autoencoder (Kingma & Welling 2014) with the optimal-variance likelihood (Rybkin et al. 2021).

    The likelihood of an image is a Gaussian around the decoded image with one variance for all pixels. The variance
    that maximises it is the mean squared error, so it is not tuned: it follows the reconstructions, and with it the
    weight of reconstruction against KL. Losses are in nats per image, as the negative evidence lower bound (ELBO).

    A share of the likelihood may be that of features instead of pixels (Hou et al. 2017): of the five maps that a
    network trained on photos makes of an image, each likewise a Gaussian around that of the decoded image, with its
    optimal variance. Latents then hold more of what makes faces differ, and less of what makes pixels do.

    The prior is a normalizing flow between latents and N(0, I), fitted to the encoder's latents after training
    (`face_generation.models.prior`); until then it is the identity. So `sample` takes standard normal vectors, and
    `embed` gives the normal vector of an image.

    Args:
        latent_channels: Latents at each place of the smallest feature map; even.
        encoder_channels: Channels of the encoder at each resolution, from half the image size down.
        decoder_channels: Channels of the decoder at each resolution, from the smallest feature map up.
        image_size: Height and width of the images, in pixels; even.
        feature_share: Of features in the likelihood; 0 is pixels alone.
        flow_couplings: Coupling layers of the learned prior.
        flow_hidden: Channels of each coupling's network.
        learning_rate: Peak rate of Adam.
        warmup_steps: Steps of linear warm-up; a cosine to zero at the last step of training follows.
        weight_decay: Decoupled (AdamW).
        prior_steps: Steps of fitting the learned prior, at most.
        prior_views: Slightly changed copies of each training face that the learned prior is fitted to as well.

    Raises:
        UserError: An argument is out of range, or a checkpoint of another architecture is loaded.
    """

    variance: Tensor
    fitted_last: tuple[str, ...] = ("prior.",)

    def __init__(
        self,
        latent_channels: int = 20,
        encoder_channels: Sequence[int] = (32, 64, 128, 192, 256),
        decoder_channels: Sequence[int] = (256, 256, 128, 96, 48),
        image_size: int = 150,
        feature_share: float = 0.0,
        flow_couplings: int = 16,
        flow_hidden: int = 96,
        learning_rate: float = 1e-3,
        warmup_steps: int = 500,
        weight_decay: float = 0.01,
        prior_steps: int = 1800,
        prior_views: int = 5,
    ) -> None:
        super().__init__()
        _check(latent_channels, encoder_channels, decoder_channels, flow_hidden, image_size)
        if not 0 <= feature_share < 1:  # pixels alone have colours
            raise UserError(f"model.feature_share={feature_share}; give a number of at least 0 and below 1")
        self.save_hyperparameters(logger=False)  # the tracker logs the whole configuration
        self.encoder = Encoder(latent_channels, encoder_channels)
        self.decoder = Decoder(latent_channels, decoder_channels, image_size)
        self.latent_dim = math.prod(self.decoder.latent_shape)
        self.prior = Flow(self.decoder.latent_shape, flow_couplings, flow_hidden).requires_grad_(False)
        self.compared = FeatureNetwork() if feature_share else None
        # The likelihood's variance outside training: a running mean of the optimal one.
        self.register_buffer("variance", torch.ones(()))
        self.psnr = PeakSignalNoiseRatio(data_range=(-1.0, 1.0))
        self.ssim = StructuralSimilarityIndexMeasure(data_range=(-1.0, 1.0))
        self.to(memory_format=torch.channels_last)

    def sample(self, normal: Tensor) -> Tensor:
        """Standard normal vectors N×latent_dim → images N×3×H×W in [-1, 1]."""
        return self.decoder(self.prior.inverse(normal)).clamp(-1, 1)

    def embed(self, images: Tensor) -> Tensor:
        """Images N×3×H×W in [-1, 1] → the normal vectors N×latent_dim that `sample` turns back into them."""
        return self.prior(self.encoder(images)[0])[0]

    def negative_elbo(self, images: Tensor) -> Tensor:
        """Images N×3×H×W in [-1, 1] → negative ELBO under the learned prior, in nats for each (N), from one latent
        each, drawn with torch's global seed. An upper bound on −log p(image), as a density over values in [-1, 1]."""
        mean, log_variance = self.encoder(images)
        noise = torch.randn_like(mean)
        latents = mean + noise * (0.5 * log_variance).exp()
        posterior = -0.5 * (math.log(2 * math.pi) + log_variance + noise**2).sum(1)  # log q(latents | image)
        squared_error = (self.decoder(latents).float() - images).square().mean((1, 2, 3))
        reconstruction = _gaussian_nats(squared_error, self.variance, images[0].numel())
        return reconstruction + posterior + self.prior.negative_log_likelihood(latents)

    def preview(self, normal: Tensor, images: Tensor) -> dict[str, Tensor]:
        """Grids to look at while it trains, N×3×H×W: `samples`, from a Gaussian fitted to the latents of `images` while
        the learned prior waits for the end of training, and `reconstructions`, each beside its original."""
        means, stds = posteriors(self.encoder, [images])
        prior = Flow(self.decoder.latent_shape, couplings=0, hidden=1).to(normal.device)
        prior.whiten(*moments(means, stds))
        shown = len(normal) // 2
        return {
            "samples": self.decoder(prior.inverse(normal)).clamp(-1, 1),
            "reconstructions": self._beside(images[:shown], means[:shown]),
        }

    def _beside(self, originals: Tensor, latents: Tensor) -> Tensor:
        """Each original, and what is decoded from its latent: N×3×H×W, N×latent_dim → 2N×3×H×W."""
        return torch.stack([originals, self.decoder(latents).clamp(-1, 1)], dim=1).flatten(0, 1)

    def compile_networks(self) -> None:
        self.encoder.compile()
        self.decoder.compile()

    def finish(self, datamodule: PackedDataModule) -> dict[str, float]:
        """Fits the learned prior, once the networks are trained, to the latents of the training split, its mirror
        images, and slightly changed copies.

        Returns:
            Nats that the validation latents cost under N(0, I), under a Gaussian, and under the fitted prior; and the
            bits that each pixel value of the test split then costs.
        """
        self.eval()
        generator = torch.Generator().manual_seed(0)
        views = self.hparams["prior_views"]

        def batches(split: str, title: str) -> Iterator[Tensor]:
            for batch in tqdm(datamodule.ordered_loader(split), desc=f"Encoding the {title}", unit="batch"):
                yield to_float(batch.to(self.device))

        def mirrored(batches: Iterable[Tensor]) -> Iterator[Tensor]:
            for images in batches:
                yield images
                if datamodule.flip:
                    yield images.flip(3).contiguous(memory_format=torch.channels_last)

        def changed(batches: Iterable[Tensor]) -> Iterator[Tensor]:
            for images in batches:
                for _ in range(views):
                    copy = jitter(images, datamodule.flip, generator)
                    yield copy.contiguous(memory_format=torch.channels_last)

        with torch.autocast(self.device.type, torch.bfloat16, enabled=best_precision() == "bf16-mixed"):
            train = posteriors(self.encoder, mirrored(batches("train", "training split")))
            copies = posteriors(self.encoder, changed(batches("train", "changed copies"))) if views else None
            val = posteriors(self.encoder, batches("val", "validation split"))
        figures = fit_flow(self.prior, train, val, self.hparams["prior_steps"], copies)
        test = np.load(datamodule.splits["test"].path, mmap_mode="r")
        with suppress(Gap):  # a test split of one image
            bits = bits_per_dim(lambda images: self.negative_elbo(images.to(self.device)), test, seed=0)
            figures["test/bits_per_dim"] = bits.value
        return figures

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images N×3×H×W → reconstructions from sampled latents (alike, not clamped), and the KL to N(0, I) in nats,
        for each image and latent dimension (N×latent_dim)."""
        mean, log_variance = self.encoder(images)
        latents = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
        return self.decoder(latents).float(), kl

    def training_step(self, images: Tensor, batch_idx: int) -> Tensor:
        reconstructions, kl = self(images)
        squared_error = (reconstructions - images).square().mean()
        with torch.no_grad():
            self.variance.lerp_(squared_error, 0.01 if self.global_step else 1.0)
        reconstruction = _gaussian_nats(squared_error, squared_error, images[0].numel())
        kl = kl.sum(1).mean()
        losses = {"reconstruction": reconstruction, "kl": kl}
        share = self.hparams["feature_share"]
        loss = (1 - share) * reconstruction + kl
        if self.compared is not None:
            losses["features"] = _feature_nats(self.compared, reconstructions, images)
            loss = loss + share * losses["features"]
        losses["loss"] = loss
        self.log_dict({f"train/{name}": value for name, value in losses.items()})
        self.log_dict(
            {f"train_epoch/{name}": value for name, value in losses.items()},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(images),
        )
        # Nats per pixel: the same optimum, at a scale where gradients are of order one.
        return loss / images[0].numel()

    def validation_step(self, images: Tensor, batch_idx: int) -> None:
        reconstructions, kl = self(images)
        squared_error = (reconstructions - images).square().mean()
        reconstruction = _gaussian_nats(squared_error, self.variance, images[0].numel())
        with torch.autocast(images.device.type, enabled=False):  # SSIM differs in the second decimal in bf16
            self.psnr.update(reconstructions.clamp(-1, 1), images)
            self.ssim.update(reconstructions.clamp(-1, 1), images)
        self._kl_sum += kl.sum(0)
        self._kl_count += len(kl)
        self.log_dict(
            {
                "val/loss": reconstruction + kl.sum(1).mean(),
                "val/reconstruction": reconstruction,
                "val/kl": kl.sum(1).mean(),
                "val/psnr": self.psnr,
                "val/ssim": self.ssim,
            },
            batch_size=len(images),
            on_epoch=True,
            sync_dist=True,
        )

    def on_validation_epoch_start(self) -> None:
        self._kl_sum, self._kl_count = torch.zeros(self.latent_dim, device=self.device), 0

    def on_validation_epoch_end(self) -> None:
        """Sets `kl_per_dimension`: nats, averaged over the validation images, latent_dim of them."""
        total = self.trainer.strategy.reduce(self._kl_sum, reduce_op="sum")
        count = self.trainer.strategy.reduce(torch.tensor(self._kl_count, device=self.device), reduce_op="sum")
        self.kl_per_dimension = total / count
        # A dimension that carries under a hundredth of a nat says nothing about the image (Burda et al. 2016).
        self.log("val/active_dimensions", (self.kl_per_dimension > 0.01).float().sum())

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clips the norm as `trainer.gradient_clip_val` says, and logs what it was before. Lightning's own clipping
        refuses fused optimizers, for the sake of fp16 gradient scaling, which bf16 does without."""
        limit = gradient_clip_val or math.inf
        self.log("train/gradient_norm", torch.nn.utils.clip_grad_norm_(self.parameters(), limit))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        networks = [*self.encoder.parameters(), *self.decoder.parameters()]
        optimizer = torch.optim.AdamW(
            networks,
            lr=self.hparams["learning_rate"],
            weight_decay=self.hparams["weight_decay"],
            fused=True,
        )
        warmup = self.hparams["warmup_steps"]

        def factor(step: int) -> float:
            if step <= warmup:
                return (step + 1) / (warmup + 1)
            # Not asked for before training has begun: it would make Lightning forget a resumed loader's place.
            total = self.trainer.estimated_stepping_batches
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _check(
    latent_channels: int, encoder: Sequence[int], decoder: Sequence[int], flow_hidden: int, image_size: int
) -> None:
    if not isinstance(latent_channels, int) or latent_channels < 2 or latent_channels % 2:
        raise UserError(f"model.latent_channels={latent_channels}; give an even whole number of at least 2")
    if not all(isinstance(width, int) and width > 0 for width in [*encoder, *decoder, flow_hidden]):
        raise UserError(
            "model.encoder_channels, model.decoder_channels and model.flow_hidden take whole numbers above 0"
        )
    if len(encoder) != len(decoder):  # the smallest maps of both hold the latents
        raise UserError("model.encoder_channels and model.decoder_channels take as many numbers as each other")
    if image_size % 2 or not encoder:
        raise UserError(f"model.image_size={image_size}; give an even number, and channels for each resolution")


def _feature_nats(network: FeatureNetwork, reconstructions: Tensor, images: Tensor) -> Tensor:
    """What `_gaussian_nats` is of pixels, of the maps of `network` at their optimal variances: their mean, as if each
    had as many values as the image."""
    with torch.no_grad():
        targets = network(images)
    errors = [
        (seen.float() - target.float()).square().mean()
        for seen, target in zip(network(reconstructions), targets, strict=True)
    ]
    return torch.stack([_gaussian_nats(error, error, images[0].numel()) for error in errors]).mean()


def _gaussian_nats(squared_error: Tensor, variance: Tensor, dimensions: int) -> Tensor:
    """−log N(x | x̂, variance·I) in nats per image, from the mean squared error over `dimensions` values."""
    return 0.5 * dimensions * (math.log(2 * math.pi) + variance.log() + squared_error / variance)
