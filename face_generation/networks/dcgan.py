"""The generator and the discriminator of DCGAN (Radford et al. 2016), for any image size."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from face_generation.networks.blocks import SLOPE, Upsample, pyramid

INIT_STD = 0.02


class DCGANGenerator(nn.Module):
    """Turns a latent vector into an image: a 3×3 convolution, batch normalisation and ReLU at each resolution, then
    tanh.

    Feature maps are resized and then convolved. The paper's transposed convolutions draw a checkerboard and can only
    double the size. The last step resizes, too, because the adversarial loss drew a grid of dots with a sub-pixel
    convolution there.

    Args:
        latent_dim: Dimensions of the latent vector.
        channels: Channels at each resolution, from the smallest feature map up to the image. Six numbers make maps that
            are 5, 10, 19, 38, 75 and 150 wide, if images are 150 wide.
        image_size: Height and width of the images, in pixels.
    """

    def __init__(self, latent_dim: int, channels: Sequence[int], image_size: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        smallest, *larger = reversed([image_size, *pyramid(image_size, len(channels) - 1)])
        self.stem = nn.Sequential(
            nn.Linear(latent_dim, channels[0] * smallest**2, bias=False),
            nn.Unflatten(1, (channels[0], smallest, smallest)),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
        )
        layers: list[nn.Module] = []
        for deep, wide, size in zip(channels, channels[1:], larger, strict=False):
            layers += [
                Upsample(deep, wide, size),
                nn.Conv2d(wide, wide, 3, padding=1, bias=False),
                nn.BatchNorm2d(wide),
                nn.ReLU(inplace=True),
            ]
        self.features = nn.Sequential(*layers)
        self.to_rgb = nn.Conv2d(channels[-1], 3, 3, padding=1)
        self.apply(_initialise)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents N×latent_dim → images N×3×H×W in [-1, 1]."""
        return self.to_rgb(self.features(self.stem(latents))).tanh()


class DCGANDiscriminator(nn.Module):
    """Turns an image into a logit, positive for real: strided 5×5 convolutions and leaky ReLU.

    Args:
        channels: Channels at each resolution, from half the image size down.
        image_size: Height and width of the images, in pixels.
        norm: `batch` normalises every layer but the first, as in the paper. `spectral` bounds the Lipschitz constant of
            every layer (Miyato et al. 2018). `none` leaves that to a gradient penalty.
    """

    def __init__(self, channels: Sequence[int], image_size: int, norm: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wide, deep in zip((3, *channels), channels, strict=False):
            layers.append(nn.Conv2d(wide, deep, 5, stride=2, padding=2))
            if norm == "batch" and wide > 3:
                layers.append(nn.BatchNorm2d(deep))
            layers.append(nn.LeakyReLU(SLOPE, inplace=True))
        smallest = pyramid(image_size, len(channels))[-1]
        layers += [nn.Flatten(), nn.Linear(channels[-1] * smallest**2, 1)]
        self.layers = nn.Sequential(*layers).apply(_initialise)  # before its weights are made functions of others
        if norm == "spectral":
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    spectral_norm(layer)

    def forward(self, images: Tensor) -> Tensor:
        """Images N×3×H×W → logits N."""
        return self.layers(images).squeeze(1)


def _initialise(module: nn.Module) -> None:
    """Initialises weights and gains of normalisations as in Radford et al. 2016."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, std=INIT_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=INIT_STD)
