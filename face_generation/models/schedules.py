"""Schedules of learning rates."""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, total_steps: Callable[[], int], warmup_steps: int) -> LambdaLR:
    """A linear warm-up, then a cosine to zero at the last step (Loshchilov & Hutter 2017).

    Args:
        total_steps: Returns the number of steps. It is not called before the first step, because Lightning would then
            forget a resumed loader's place.
        warmup_steps: Number of warm-up steps.
    """

    def factor(step: int) -> float:
        if step <= warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = (step - warmup_steps) / max(1, total_steps() - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)
