"""Schedules of learning rates: those of torch, ours, and none."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau, StepLR

from face_generation.errors import UserError
from face_generation.models.schedules import every_step, warmup_cosine


def rates(make: Callable[..., LRScheduler] | None, steps: int, total: float = 10) -> list[float]:
    """The learning rates of the first steps, relative to the peak."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = every_step(make, optimizer, lambda: total, "network")
    assert (schedule["interval"], schedule["name"]) == ("step", "lr/network")
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule["scheduler"].step()
    return found


def test_a_schedule_of_torch_takes_the_optimizer_alone() -> None:
    assert rates(partial(StepLR, step_size=2, gamma=0.1), 4) == pytest.approx([1, 1, 0.1, 0.1])


def test_ours_takes_the_number_of_steps_as_well() -> None:
    found = rates(partial(warmup_cosine, warmup_steps=1), 11)
    assert found[:2] == [0.5, 1.0]
    assert found[1:] == sorted(found[1:], reverse=True)
    assert found[-1] == pytest.approx(0)


def test_without_a_last_step_the_rate_stays_at_its_peak() -> None:
    assert rates(partial(warmup_cosine, warmup_steps=1), 4, math.inf) == [0.5, 1.0, 1.0, 1.0]


def test_none_keeps_the_rate() -> None:
    assert rates(None, 3) == [1.0, 1.0, 1.0]


def test_a_schedule_that_waits_for_a_figure_is_refused() -> None:
    with pytest.raises(UserError, match="must move at every step; choose"):
        rates(ReduceLROnPlateau, 1)
