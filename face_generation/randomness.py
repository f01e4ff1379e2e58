"""Random numbers for a batch that several processes share, which do not depend on how many processes there are.

All processes have the same seed. Each draws the numbers for the whole batch and keeps those of its own images. If there
are P processes, the process of rank r has the images r, r + P, r + 2P and so on, as torch's `DistributedSampler` deals
them out.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def normal(count: int, *shape: int, device: torch.device) -> Tensor:
    """Draws standard normal numbers for this process's `count` images, float32 count×shape."""
    return _own(lambda whole: torch.randn(whole, *shape, device=device), count)


def uniform(count: int, *shape: int, device: torch.device) -> Tensor:
    """Draws numbers from 0 to 1 for this process's `count` images, float32 count×shape."""
    return _own(lambda whole: torch.rand(whole, *shape, device=device), count)


def _own(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """This process's rows of what `draw` makes for the whole batch."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return draw(count)
    processes, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    return draw(count * processes)[rank::processes]
