"""Measures the statistics of batch normalisations for averaged weights."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def fresh_statistics(*networks: nn.Module) -> Iterator[None]:
    """Measures the means and variances of batch normalisations again, over the batches that pass through the networks
    inside the `with` block.

    Feature maps of averaged weights vary less than those of the weights that went into the average. So images are
    washed out with the running statistics of training (Izmailov et al. 2018, section 3.2).

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
