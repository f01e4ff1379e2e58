"""Muon: what it does to matrices and to everything else, and that it resumes."""

import copy

import pytest
import torch
from torch import nn

from face_generation.models.muon import Muon, orthogonalised


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(64, 64), (64, 200), (200, 64)])
def test_updates_of_matrices_are_about_orthogonal(shape: tuple[int, int]) -> None:
    values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
    assert values.max() < 1.3
    assert (values > 0.6).float().mean() > 0.9  # of a square one, some are too near to zero


def test_matrices_step_as_far_as_adamw_and_vectors_use_it() -> None:
    layer = nn.Linear(64, 128)
    before = copy.deepcopy(layer.state_dict())
    plain = copy.deepcopy(layer)
    optimizer = Muon(layer.parameters(), lr=1e-2, adamw_lr=1e-3, weight_decay=0.0)
    other = torch.optim.AdamW(plain.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0)
    for network, descend in ((layer, optimizer), (plain, other)):
        network(torch.ones(3, 64)).square().sum().backward()
        descend.step()

    change = layer.weight - before["weight"]
    # The gradient has one direction alone, and so the update.
    assert torch.linalg.matrix_norm(change, 2).item() == pytest.approx(1e-2 * 0.2 * 128**0.5, rel=0.4)
    torch.testing.assert_close(layer.bias, plain.bias)


def test_a_kernel_is_a_matrix_with_a_row_for_each_output() -> None:
    layer = nn.Conv2d(8, 64, 3, bias=False).to(memory_format=torch.channels_last)
    before = layer.weight.detach().clone()
    optimizer = Muon(layer.parameters(), lr=1e-2, adamw_lr=1e-3, weight_decay=0.0)
    layer(torch.randn(16, 8, 9, 9)).square().sum().backward()
    optimizer.step()

    values = torch.linalg.svdvals((layer.weight - before).flatten(1)) / (1e-2 * 0.2 * 72**0.5)
    assert values.max() < 1.3
    assert (values > 0.6).float().mean() > 0.8


def test_it_learns_and_goes_on_from_its_state() -> None:
    target = torch.randn(64, 64)

    def train(steps: int, layer: nn.Linear, optimizer: Muon) -> float:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (layer.weight - target).square().mean() + layer.bias.square().mean()
            loss.backward()
            optimizer.step()
        return loss.item()

    def new() -> tuple[nn.Linear, Muon]:
        layer = nn.Linear(64, 64)
        return layer, Muon(layer.parameters(), lr=0.05, adamw_lr=0.05)

    layer, optimizer = new()
    assert train(10, layer, optimizer) > 0.1
    resumed, going_on = new()
    resumed.load_state_dict(layer.state_dict())
    going_on.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert train(200, layer, optimizer) < 0.1
    train(200, resumed, going_on)
    assert torch.equal(layer.weight, resumed.weight)
    assert torch.equal(layer.bias, resumed.bias)
