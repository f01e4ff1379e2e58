"""The convolutional blocks that the encoder and the decoder share.

The order is convolution, batch normalisation, leaky ReLU. Batch normalisation is cheap in bf16 `channels_last` training
(group normalisation costs 2.5 times as much on a CPU). At inference it folds into the convolution before it, which the
runtime then fuses with the activation.
"""

import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of the leaky ReLU, as in Radford et al. 2016


def pyramid(image_size: int, levels: int) -> list[int]:
    """Image sizes after each halving, rounded up as a convolution of stride 2 does: 150 → 75, 38, 19, 10, 5."""
    sizes = []
    for _ in range(levels):
        image_size = (image_size + 1) // 2
        sizes.append(image_size)
    return sizes


class ConvNormAct(nn.Sequential):
    """3×3 convolution, batch normalisation, leaky ReLU: N×C_in×H×W → N×C_out×⌈H/stride⌉×⌈W/stride⌉."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(SLOPE, inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside an identity (He et al. 2016): N×C×H×W → N×C×H×W.

    The second normalisation starts at gain 0, so a new block is the identity and deep stacks train from the first
    step (Goyal et al. 2017, section 5.1).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNormAct(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.norm(self.second(self.first(x))), SLOPE, inplace=True)


class Upsample(nn.Module):
    """Fewer channels by a 1×1 convolution, then bilinear resizing to an exact size: N×C_in×h×w → N×C_out×size×size.

    Resizing before convolutions cannot draw a checkerboard, and reaches any size without a crop (Odena et al. 2016).
    Mixing the channels at the small size costs a quarter of doing so after resizing.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(in_channels, out_channels, 1)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.mix(x), size=(self.size, self.size), mode="bilinear", align_corners=False)
