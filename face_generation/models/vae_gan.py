"""The main model's second stage: discriminators teach the decoder of a trained VAE to draw sharply."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from face_generation.data.datamodule import PackedDataModule
from face_generation.errors import UserError
from face_generation.models.adversarial import descend, diversity
from face_generation.models.augmentation import draw_augmentation
from face_generation.models.detail import match_detail
from face_generation.models.grid import GridLoss
from face_generation.models.vae import VAE
from face_generation.networks import FeatureNetwork, PlaceDiscriminator, ProjectedDiscriminator, TextureDiscriminator
from face_generation.networks.blocks import pyramid
from face_generation.networks.features import CHANNELS

BETAS = (0.5, 0.99)  # of Adam
COMPARED = 3  # the coarsest feature maps, in which a reconstruction is compared with its original
SETTLING = 0.2  # of training, over which the learning rates fall to zero
RECONSTRUCTED = 1 / 4  # of a batch; the rest is samples
TRUNCATED = 0.3  # of the samples, to between TRUNCATION and 1
TRUNCATION = 0.4
COLOURS = 1 / 4  # of the usual changes to colours, which would hide harsh contrasts from the discriminators
NOISE = 0.05  # strengths that the decoder's noise begins with; maps vary by 0.4. From 0, it found none in 1,000 steps
TEXTURES = 4  # sizes at which texture is judged: the whole one, half, a quarter, an eighth
SHARPER = (2.0, 1.0)  # more weight of texture at the two largest, of what is not truncated; truncated, it draws dots
CROP = 64  # pixels; of the whole size one such square is judged, at another place each step
PLACES = (2, 4, 8)  # times that images are shrunk for the discriminators of places: finer and coarser patterns
COARSE, FINE = 32, 8  # times that samples are shrunk to be compared with the first decoder's
EXCESS = 50.0  # weight of what a sample's squared error from those exceeds that of reconstructions by
GRID = 0.05  # weight of the loss of grids
LIMIT = 8.0  # of the norm of the decoder's gradient, which is 10 to 15: no batch may weigh more than others
SMALL_RATE = 5  # times the other heads' learning rate, at which the small discriminators learn too slowly


class VAEGAN(VAE):
    """A trained VAE whose decoder is refined by an adversarial and a feature-matching loss (Larsen et al. 2016).

    A Gaussian likelihood asks for the mean of all faces that a latent may mean, which is a blurred one. Here
    discriminators ask for one of them: everything drawn has to look real (hinge loss; Lim & Ye 2017), reconstructions
    as well as samples of the learned prior, at all truncations; and a reconstruction like its original, in features
    (relative L1) and in colours. The discriminators learn from samples alone: the loss keeps reconstructions softer
    than photos, and of both together, they would have samples make up for it by being harsher. A sample has no
    original; its colours are compared with what the decoder drew from the same latents before it was refined, since
    discriminators alone lose some of their variety. All is compared coarsely: comparing fine textures asks for the mean
    of those that a latent may mean, and so for none. Samples, very coarsely: the prior puts together what does not go
    together, and only a decoder that is free to do so can mend it. But less coarsely, what they drift farther than
    reconstructions are from their originals counts too: discriminators take caricatures for real, harsh and full of
    lines.
    Truncated samples vary less than photos do, which no decoder should make up for: of them only texture is judged, and
    they are compared less coarsely.

    Features and discriminator rest on a network that was trained on photos (Sauer et al. 2021): from a few thousand
    faces alone, a discriminator learns what is sharp long before it learns what an eye is. What that network overlooks,
    dots in hair and fine grids, small discriminators of pixels see, one at each of four sizes; and what no convolution
    sees, patterns at the same places of many images, discriminators of places. The decoder's loss has a hinge too: what
    looks real need not look more so, or it becomes a caricature. Grids that upsampling leaves are taken out by a loss
    of their own (`GridLoss`). The encoder and the prior stay what they were, so latents keep their meaning. The
    decoder's batch normalisations keep their statistics, so averaged weights need none of their own. What is judged and
    compared is augmented (Zhao et al. 2020), an original and its reconstruction alike; but for places, which a shift
    would blur.

    Args:
        discriminator_channels: Channels that the discriminator's heads begin with, at each resolution, from half the
            image size down; five.
        generator_learning_rate: Of Adam, for the decoder; constant, then falling to zero over the last fifth of
            training, since the networks chase each other.
        discriminator_learning_rate: Likewise, for the projected discriminator; five times that for the small ones.
        feature_weight: Of the relative L1 distance between features.
        pixel_weight: Of the mean squared error of reconstructions shrunk to a quarter, with pixel values in [-1, 1].
        drift_weight: Of the mean squared error between samples and what the first decoder drew, both shrunk to a
            thirty-second; truncated ones, to an eighth.
        detail_epochs: Passes over the training split in which detail and tones are matched to photos' at the end,
            without any discriminator (`models.detail`); 0 for none.
        vae: As of `VAE`; what is about its training has no effect.

    Raises:
        UserError: As of `VAE`; other than five discriminator channels; fewer passes than none; or, when training
            begins, the VAE is no trained one (`checkpoint.begin_with`), or batches are of one image.
    """

    fitted_last = ()  # the prior comes with the VAE

    def __init__(
        self,
        discriminator_channels: tuple[int, ...] = (32, 64, 128, 192, 192),
        generator_learning_rate: float = 3e-4,
        discriminator_learning_rate: float = 2e-4,
        feature_weight: float = 10.0,
        pixel_weight: float = 50.0,
        drift_weight: float = 10.0,
        detail_epochs: int = 5,
        **vae: Any,
    ) -> None:
        super().__init__(**vae)
        self.save_hyperparameters(logger=False)
        self.automatic_optimization = False  # two optimizers, each with its own loss
        if len(discriminator_channels) != len(CHANNELS):
            raise UserError(f"model.discriminator_channels takes {len(CHANNELS)} numbers, one for each resolution")
        if not isinstance(detail_epochs, int) or detail_epochs < 0:
            raise UserError(f"model.detail_epochs={detail_epochs}; give 0 or more, a whole number")
        self.first_decoder = copy.deepcopy(self.decoder)  # of the first stage
        self.features = FeatureNetwork()
        sizes = pyramid(self.hparams["image_size"], len(CHANNELS))
        self.discriminator = ProjectedDiscriminator(CHANNELS, discriminator_channels, sizes)
        self.textures = nn.ModuleList(TextureDiscriminator() for _ in range(TEXTURES))
        self.places = nn.ModuleList(PlaceDiscriminator(-(-self.hparams["image_size"] // factor)) for factor in PLACES)
        self.grid = GridLoss(self.hparams["image_size"])
        self.encoder.requires_grad_(False)
        self.first_decoder.requires_grad_(False)
        self.to(memory_format=torch.channels_last)
        self.train()  # Lightning leaves each module in the mode that it finds it in

    @property
    def kind(self) -> str:
        return "VAE"  # with a better decoder; the discriminator was for training

    def on_fit_start(self) -> None:
        if self.variance == 1:  # as it is before the first step
            raise UserError("a VAEGAN refines a trained VAE; train one first, and give its final.ckpt: start=…")

    def train(self, mode: bool = True) -> "VAEGAN":
        super().train(mode)
        for network in (self.encoder, self.decoder, self.first_decoder):
            network.eval()  # which only their batch normalisations notice
        return self

    def begin(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Likewise; the first decoder is a VAE's own, and noise, of which a VAE has no use, begins anew with it."""
        first = {f"first_{name}": tensor for name, tensor in weights.items() if name.startswith("decoder.")}
        begun = super().begin(first | dict(weights))
        if not any(name.startswith("first_decoder.") for name in weights):
            strengths = [name for name in begun if name.startswith("decoder.") and name.endswith(".strength")]
            begun |= {name: NOISE * torch.randn_like(begun[name]) for name in strengths}
        return begun

    def preview(self, normal: Tensor, images: Tensor) -> dict[str, Tensor]:
        """Grids to look at while it trains, N×3×H×W: samples, and reconstructions, each beside its original."""
        originals = images[: len(normal) // 2]
        return {
            "samples": self.sample(normal),
            "reconstructions": self._beside(originals, self.encoder(originals)[0]),
        }

    def finish(self, datamodule: PackedDataModule) -> dict[str, float]:
        """Gives samples the detail and tones of photos (`models.detail`). The prior came with the VAE."""
        if not self.hparams["detail_epochs"]:
            return {}
        self.eval()
        photos = np.load(datamodule.splits["train"].path, mmap_mode="r")
        epochs, batch_size = self.hparams["detail_epochs"], datamodule.batch_size
        return match_detail(self.decoder, self.prior, photos, epochs, batch_size, TRUNCATED, TRUNCATION)

    def compile_networks(self) -> None:
        super().compile_networks()
        self.first_decoder.compile()
        self.discriminator.compile()
        self.textures.compile()
        self.places.compile()

    def training_step(self, images: Tensor, batch_idx: int) -> None:  # type: ignore[override]
        if len(images) < 2:
            raise UserError(
                "a VAEGAN needs a reconstruction and a sample in each batch; give data.batch_size=2 or more"
            )
        optimizers: Any = self.optimizers()  # LightningOptimizers, in the order of configure_optimizers
        decoder_optimizer, discriminator_optimizer = optimizers
        originals, rest = images.tensor_split([math.ceil(RECONSTRUCTED * len(images))])
        samples = slice(len(originals), None)
        with torch.no_grad():
            mean, log_variance = self.encoder(originals)
            normal = torch.randn(len(rest), mean.shape[1], device=self.device)
            truncated = normal[len(normal) - int(TRUNCATED * len(normal)) :]
            truncated *= torch.empty_like(truncated[:, :1]).uniform_(TRUNCATION, 1)
            encoded = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
            sampled = self.prior.inverse(normal)
            first_samples = self.first_decoder(sampled).float()
        fakes = self.decoder(torch.cat([encoded, sampled])).float()
        varied = len(images) - len(truncated)
        augment = draw_augmentation(len(images), self.device, COLOURS)
        seen, seen_fakes = augment(images), augment(fakes)

        with torch.no_grad():
            real_maps = self.features(seen[:varied])
        fake_maps = self.features(seen_fakes[:varied])
        both = [_against(real[samples], fake[samples]) for real, fake in zip(real_maps, fake_maps, strict=True)]
        smoothed = self.decoder.smooth(images)
        detailed, detailed_fakes = _sizes([augment(smoothed), seen_fakes])
        logits = self.discriminator(both, batches=2)
        for texture, real, fake in zip(self.textures, detailed, detailed_fakes, strict=True):
            logits.append(texture(_against(real[samples], fake[samples])))
        # As they are, for augmentation shifts them.
        placed, placed_fakes = ([_shrink(some[:varied], factor) for factor in PLACES] for some in (images, fakes))
        for place, real, fake in zip(self.places, placed, placed_fakes, strict=True):
            logits.append(place(_against(real[samples], fake[samples])))
        real_logits, fake_logits = zip(*(some.chunk(2) for some in logits), strict=True)
        discriminator_loss = _mean([F.relu(1 - logits) for logits in real_logits])
        discriminator_loss = discriminator_loss + _mean([F.relu(1 + logits) for logits in fake_logits])
        heads = nn.ModuleList([self.discriminator.heads, self.textures, self.places])
        discriminator_norm = descend(self, discriminator_optimizer, discriminator_loss, heads)

        heads.requires_grad_(False)  # the decoder's gradient passes through them, and changes nothing
        textures = [texture(fake) for texture, fake in zip(self.textures, detailed_fakes, strict=True)]
        judged = textures + self.discriminator(fake_maps)
        judged += [place(fake) for place, fake in zip(self.places, placed_fakes, strict=True)]
        adversarial = _mean([F.relu(1 - logits) for logits in judged])
        for weight, logits in zip(SHARPER, textures, strict=False):
            adversarial = adversarial + weight * F.relu(1 - logits[:varied]).float().mean() / len(judged)
        reconstructions = fakes[: len(originals)]
        feature = _relative_l1(fake_maps[-COMPARED:], real_maps[-COMPARED:], len(originals))
        squared_error = _squared_errors(reconstructions, originals, 4).mean()
        coarse, fine = (_squared_errors(fakes[samples], first_samples, factor) for factor in (COARSE, FINE))
        untruncated = len(rest) - len(truncated)
        drift = coarse[:untruncated].mean() + fine[untruncated:].sum() / max(1, len(truncated))
        usual = _squared_errors(reconstructions.detach(), originals, FINE).mean()
        excess = F.relu(fine[:untruncated] - usual).mean()
        grid, peaks = self.grid(fakes[len(originals) : varied], smoothed)
        loss = adversarial + self.hparams["feature_weight"] * feature + GRID * grid
        loss = loss + self.hparams["pixel_weight"] * squared_error
        loss = loss + self.hparams["drift_weight"] * drift + EXCESS * excess
        decoder_norm = descend(self, decoder_optimizer, loss, self.decoder, LIMIT)
        heads.requires_grad_(True)
        schedulers: Any = self.lr_schedulers()
        for scheduler in schedulers:
            scheduler.step()

        with torch.no_grad():
            self.variance.lerp_((reconstructions - originals).square().mean(), 0.01)
        self.log_dict(
            {
                "train/adversarial": adversarial,
                "train/features": feature,
                "train/squared_error": squared_error,
                "train/drift": drift,
                "train/excess": excess,
                "train/grid": peaks,
                "train/discriminator_loss": discriminator_loss,
                "train/real_logit": _mean(real_logits),
                "train/fake_logit": _mean(fake_logits),
                "train/generator_gradient_norm": decoder_norm,
                "train/discriminator_gradient_norm": discriminator_norm,
                "train/diversity": diversity(fakes) / diversity(images),
            }
        )

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:  # type: ignore[override]
        decoder, discriminator = (self.hparams[f"{name}_learning_rate"] for name in ("generator", "discriminator"))
        heads = {"params": list(self.discriminator.heads.parameters())}
        small = {"params": [*self.textures.parameters(), *self.places.parameters()], "lr": SMALL_RATE * discriminator}
        optimizers: list[Optimizer] = [
            Adam(self.decoder.parameters(), lr=decoder, betas=BETAS, fused=True),
            Adam([heads, small], lr=discriminator, betas=BETAS, fused=True),
        ]

        def factor(step: int) -> float:
            # The number of steps is not asked for before training has begun: Lightning would forget a resumed
            # loader's place.
            return min(1.0, (1 - step / self.trainer.estimated_stepping_batches) / SETTLING) if step else 1.0

        return optimizers, [LambdaLR(optimizer, factor) for optimizer in optimizers]


def _shrink(images: Tensor, factor: int) -> Tensor:
    """Images N×3×H×W, averaged over squares of `factor` pixels."""
    return F.avg_pool2d(images, factor, ceil_mode=True)


def _against(real: Tensor, fake: Tensor) -> Tensor:
    """What a discriminator learns from: as many rows of photos, then of samples, to which no gradient goes."""
    return torch.cat([real, fake.detach()])


def _squared_errors(images: Tensor, others: Tensor, factor: int) -> Tensor:
    """Mean squared error of each of N×3×H×W from another image, both shrunk by `factor`: N."""
    return (_shrink(images, factor) - _shrink(others, factor)).square().mean((1, 2, 3))


def _sizes(batches: Sequence[Tensor]) -> list[list[Tensor]]:
    """Images N×3×H×W → for each batch, the same random square of CROP pixels of all images, if they are larger, and
    then the images shrunk to a half, a quarter and so on."""
    height, width = batches[0].shape[2:]
    y, x = (int(torch.randint(max(1, size - CROP + 1), ())) for size in (height, width))
    shrunk = [[_shrink(images, 2**level) for level in range(1, TEXTURES)] for images in batches]
    return [[images[:, :, y : y + CROP, x : x + CROP], *some] for images, some in zip(batches, shrunk, strict=True)]


def _mean(values: Sequence[Tensor]) -> Tensor:
    """The mean over tensors of each one's mean, so that every resolution counts alike."""
    return torch.stack([value.float().mean() for value in values]).mean()


def _relative_l1(maps: list[Tensor], targets: list[Tensor], count: int) -> Tensor:
    """Mean over maps of the L1 distance of the first `count` rows to their targets, relative to the targets' size."""
    return _mean(
        [
            (seen[:count].float() - target[:count].float()).abs().mean() / target[:count].float().abs().mean()
            for seen, target in zip(maps, targets, strict=True)
        ]
    )
