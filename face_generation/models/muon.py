"""Muon: an optimizer for the matrices of transformers and the kernels of convolutions."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from face_generation.hardware import best_precision

SMALLEST = 64  # fewest rows and columns of a matrix; most embeddings, first and last layers have fewer
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of a polynomial that maps singular values in (0, 1] to about 1
ITERATIONS = 5
RMS = 0.2  # of an update, as AdamW's usually are (Liu et al. 2025)


class Muon(Optimizer):
    """Trains matrices with momentum and orthogonal updates (Jordan et al. 2024), and everything else with AdamW.

    A convolution's kernel O×I×h×w counts as a matrix O×(I·h·w). The prior needs two thirds of AdamW's steps with Muon,
    and the autoencoder reaches 23.0 dB in 200 steps instead of 20.4. torch's own Muon takes matrices only, and
    Lightning steps a single optimizer by itself, so one class does both.

    Args:
        params: Parameters.
        lr: Learning rate of matrices.
        adamw_lr: Learning rate of everything else.
        momentum: Nesterov momentum of matrices.
        betas: Coefficients of AdamW.
        weight_decay: Decoupled weight decay of all parameters.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        adamw_lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.01,
    ) -> None:
        params = list(params)
        matrices = [param for param in params if param.ndim >= 2 and min(param.flatten(1).shape) >= SMALLEST]
        chosen = {id(param) for param in matrices}
        groups = [
            {"params": matrices, "lr": lr, "matrices": True},
            {"params": [param for param in params if id(param) not in chosen], "lr": adamw_lr, "matrices": False},
        ]
        options = {"momentum": momentum, "betas": tuple(betas), "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], options)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            update = self._orthogonal if group["matrices"] else self._adamw
            update([param for param in group["params"] if param.grad is not None], group)
        return loss

    def _orthogonal(self, params: list[Tensor], group: dict[str, Any]) -> None:
        for param in params:
            assert param.grad is not None
            momentum = self.state[param].setdefault("momentum", torch.zeros_like(param))
            momentum.lerp_(param.grad, 1 - group["momentum"])
            update = orthogonalised(param.grad.lerp(momentum, group["momentum"]).flatten(1))
            param.mul_(1 - group["lr"] * group["weight_decay"])
            param.add_(update.reshape(param.shape), alpha=-group["lr"] * RMS * max(update.shape) ** 0.5)

    def _adamw(self, params: list[Tensor], group: dict[str, Any]) -> None:
        for param in params:
            if not self.state[param]:
                zeros = {"exp_avg": torch.zeros_like(param), "exp_avg_sq": torch.zeros_like(param)}
                self.state[param] = {"step": torch.zeros(()), **zeros}
        states = [self.state[param] for param in params]
        averages, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
        beta1, beta2 = group["betas"]
        adamw(
            params,
            [param.grad for param in params],  # type: ignore[misc]
            averages,
            squares,
            [],
            steps,
            foreach=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def orthogonalised(matrix: Tensor) -> Tensor:
    """Approximates the nearest orthogonal matrix by Newton-Schulz iterations: all singular values become about 1."""
    x = matrix.bfloat16() if best_precision() == "bf16-mixed" else matrix
    if x.shape[0] > x.shape[1]:
        x = x.T
    x = x / (x.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if matrix.shape[0] > matrix.shape[1] else x).to(matrix.dtype)
