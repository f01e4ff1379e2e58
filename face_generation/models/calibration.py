"""Statistics of batch normalisations that belong to averaged weights."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def fresh_statistics(*networks: nn.Module) -> Iterator[None]:
    """Batch normalisations measure their means and variances again, over the batches that pass through the networks
    within.

    Feature maps of averaged weights vary less than those of the weights that they are an average of. With the running
    statistics of training, images are washed out (Izmailov et al. 2018, section 3.2).

    Example:
        >>> with fresh_statistics(network):
        ...     network(images)
    """
    norms = [part for network in networks for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    before = [(norm.training, norm.momentum) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # a plain mean over the batches
    yield
    for norm, (training, momentum) in zip(norms, before, strict=True):
        norm.train(training)
        norm.momentum = momentum
