"""Schedules of learning rates."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from face_generation.errors import UserError

MakeSchedule = Callable[..., LRScheduler] | None


def every_step(make: MakeSchedule, optimizer: Optimizer, total_steps: Callable[[], float], name: str) -> dict[str, Any]:
    """Describes to Lightning a schedule that moves at every step, and whose learning rate is logged as `lr/<name>`.

    Args:
        make: Makes the schedule: a class of torch from the optimizer, and a function from the optimizer and
            `total_steps`. `None` keeps the learning rate constant.
        total_steps: Returns the number of steps.

    Raises:
        UserError: The schedule waits for a figure and does not move at every step.
    """
    if make is None:
        schedule: LRScheduler = LambdaLR(optimizer, lambda step: 1.0)
    elif isinstance(getattr(make, "func", make), type):
        schedule = make(optimizer)
    else:
        schedule = make(optimizer, total_steps)
    if isinstance(schedule, ReduceLROnPlateau):
        raise UserError(
            "model.scheduler must move at every step; choose one that waits for no figure, such as CosineAnnealingLR"
        )
    return {"scheduler": schedule, "interval": "step", "name": f"lr/{name}"}


def warmup_cosine(optimizer: Optimizer, total_steps: Callable[[], float], warmup_steps: int) -> LambdaLR:
    """A linear warm-up, then a cosine to zero at the last step (Loshchilov & Hutter 2017). If the training has no last
    step, the learning rate stays at its peak.

    Args:
        total_steps: Returns the number of steps, or infinity. It is not called before the first step, because Lightning
            would then forget a resumed loader's place.
        warmup_steps: Number of warm-up steps.
    """

    def factor(step: int) -> float:
        if step <= warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = (step - warmup_steps) / max(1, total_steps() - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)
