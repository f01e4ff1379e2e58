"""The discriminator that makes reconstructions sharp."""

from collections.abc import Sequence

from torch import Tensor, nn

from face_generation.networks.blocks import SLOPE


class PatchDiscriminator(nn.Module):
    """Judges patches of an image (PatchGAN; Isola et al. 2017): strided 4×4 convolutions and leaky ReLU, then a logit
    for each place. It has no normalisation; a gradient penalty keeps it smooth.

    Args:
        channels: Channels at each resolution, from half of the image size down. With three, a patch is 38 pixels wide.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wide, deep in zip((3, *channels), channels, strict=False):
            layers += [nn.Conv2d(wide, deep, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        layers += [nn.Conv2d(channels[-1], channels[-1], 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        layers.append(nn.Conv2d(channels[-1], 1, 3, padding=1))
        self.layers = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, SLOPE)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Images N×3×H×W in [-1, 1] → logits N×1×h×w, higher for photos."""
        return self.layers(images)
