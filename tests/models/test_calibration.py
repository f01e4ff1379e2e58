"""Statistics of batch normalisations, measured again."""

import torch
from torch import nn

from face_generation.models.calibration import fresh_statistics


def test_statistics_are_those_of_the_batches_that_pass() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3)).eval()
    network[0].running_mean.fill_(9.0)
    batches = torch.randn(4, 16, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 + 1

    with fresh_statistics(network):
        for batch in batches:
            network(batch)

    torch.testing.assert_close(network[0].running_mean, batches.mean((0, 1, 3, 4)))
    torch.testing.assert_close(network[0].running_var, batches.transpose(1, 2).flatten(2).var(2).mean(0))
    assert not network[0].training
    assert network[0].momentum == 0.1
