"""What models with a discriminator share."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def descend(
    model: pl.LightningModule, optimizer: Any, loss: Tensor, network: nn.Module, limit: float = math.inf
) -> Tensor:
    """One step of `optimizer` down the gradient of `loss` in the weights of `network`, whose norm is returned as it was
    before it was clipped to `limit`."""
    optimizer.zero_grad()
    model.manual_backward(loss)
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), limit)
    optimizer.step()
    return norm


def diversity(images: Tensor) -> Tensor:
    """How much images N×3×H×W differ from each other: their standard deviation, averaged over 10×10 cells.

    Cells, because noise differs from pixel to pixel in a generator that draws one face only.
    """
    return F.adaptive_avg_pool2d(images.detach().float(), 10).std(0).mean()
