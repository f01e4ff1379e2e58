"""The prior's network: a transformer that moves normal vectors to latents along learned velocities."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FREQUENCIES = 128  # number of sinusoids that encode the time
SLOWEST = 1e4  # ratio of the longest period to the shortest (Vaswani et al. 2017)


class FlowTransformer(nn.Module):
    """Predicts the velocity of latents on their way from noise, given the time and attributes.

    It is a diffusion transformer (DiT; Peebles & Xie 2023) whose tokens are squares of `patch`×`patch` places of the
    latent map. The time and the attributes modulate the layer normalisations of every block through one shared linear
    layer and an offset for each block (adaLN-single; PixArt-α, Chen et al. 2024). A linear layer for each block would
    double the weights.

    Args:
        latent_shape: Channels, height and width of the latents.
        attributes: Number of attributes that it can be told.
        patch: Height and width of a token, in places. 1 is used if the map cannot be divided by it.
        width: Width of a token inside the network.
        depth: Number of blocks.
        heads: Attention heads; a divisor of `width`.
    """

    def __init__(
        self,
        latent_shape: tuple[int, int, int],
        attributes: int,
        patch: int,
        width: int = 256,
        depth: int = 8,
        heads: int = 4,
    ) -> None:
        super().__init__()
        channels, *sides = latent_shape
        self.latent_shape = latent_shape
        self.patch = patch if all(side % patch == 0 for side in sides) else 1
        self.places = tuple(side // self.patch for side in sides)
        token = channels * self.patch**2
        self.embed = nn.Linear(token, width)
        self.position = nn.Parameter(0.02 * torch.randn(math.prod(self.places), width))
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.attributes = nn.Sequential(nn.Linear(2 * attributes, width), nn.SiLU(), nn.Linear(width, width))
        self.modulate = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.last = nn.Linear(width, token)
        self.last_offset = nn.Parameter(torch.zeros(2, width))
        # With zeros here, a new network predicts 0 and a new block is the identity.
        for parameter in (*self.modulate.parameters(), *self.last.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, latents: Tensor, time: Tensor, attributes: Tensor) -> Tensor:
        """Predicts velocities N×C×H×W.

        Args:
            latents: Latents N×C×H×W on their way.
            time: Times N, from 0 (noise) to 1 (faces).
            attributes: Attributes N×K: 1, -1, or 0 if not told.
        """
        tokens = F.pixel_unshuffle(latents, self.patch).flatten(2).transpose(1, 2)
        # The absolute value says whether an attribute is told at all.
        told = torch.cat([attributes, attributes.abs()], dim=1)
        condition = self.time(_sinusoids(time)) + self.attributes(told)
        modulation = self.modulate(condition).unflatten(1, (6, -1))
        x = self.embed(tokens) + self.position
        for block in self.blocks:
            x = block(x, modulation)
        shift, scale = (condition[:, None] + self.last_offset).split(1, dim=1)
        velocity = self.last(_modulated(x, shift, scale))
        return F.pixel_shuffle(velocity.transpose(1, 2).unflatten(2, self.places), self.patch)


class _Block(nn.Module):
    """Attention and a small network, each with a modulated normalisation before and a gate after it: N×T×width →
    same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.offset = nn.Parameter(torch.zeros(6, width))
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = (modulation + self.offset).split(1, dim=1)
        x = x + gate * self._attend(_modulated(x, shift, scale))
        hidden = F.gelu(self.widen(_modulated(x, shift_mlp, scale_mlp)), approximate="tanh")
        return x + gate_mlp * self.narrow(hidden)

    def _attend(self, x: Tensor) -> Tensor:
        # Plain products, because the backward pass of torch's fused attention takes a third of a step for 25 tokens on
        # a CPU.
        projected = self.queries_keys_values(x).unflatten(2, (3, self.heads, -1))
        queries, keys, values = projected.permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.transpose(2, 3) * queries.shape[-1] ** -0.5).softmax(-1)
        return self.mix((weights @ values).transpose(1, 2).flatten(2))


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def _sinusoids(time: Tensor) -> Tensor:
    """Times N, from 0 to 1 → N×(2·FREQUENCIES)."""
    exponents = torch.arange(FREQUENCIES, device=time.device) / FREQUENCIES
    angles = 1000 * time[:, None] * SLOWEST**-exponents
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class FlowSampler(nn.Module):
    """Turns normal vectors and attributes into latents, in a few steps along the velocities of a `FlowTransformer`.

    The steps are those of Heun's method (Karras et al. 2022) with classifier-free guidance (Ho & Salimans 2022): the
    velocity without attributes, plus `guidance` times the change that the attributes make. The result is deterministic.

    Args:
        network: Predicts the velocities of normalised latents.
        mean, std: Mean and standard deviation C×1×1 that latents were normalised with.
        steps: Heun steps. Each evaluates the network twice, except for the last, which evaluates it once.
        guidance: 1 is none. More makes faces keep to the attributes, and keeps together what belongs together.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: FlowTransformer, mean: Tensor, std: Tensor, steps: int, guidance: float) -> None:
        super().__init__()
        self.network = network
        self.steps = steps
        self.guidance = guidance
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, normal: Tensor, attributes: Tensor | None = None) -> Tensor:
        """Normal vectors N×latent_dim and attributes N×K (1, -1 or 0; only if it takes any) → latents N×latent_dim."""
        if attributes is None:
            attributes = normal[:, :0]
        x, velocity = normal, torch.zeros_like(normal)
        for row in self.schedule().to(normal.device):
            x, velocity = self.evaluate(x, velocity, row, attributes)
        return (x.unflatten(1, self.network.latent_shape) * self.std + self.mean).flatten(1)

    def schedule(self) -> Tensor:
        """The evaluations of the network, one in each row, float32 (2·steps − 1)×4.

        The columns are the time; how far to go along the last velocity to the place of the evaluation; and how far to
        move along the last velocity, and along the new one.
        """
        step = 1 / self.steps
        rows = []
        for i in range(self.steps - 1):
            rows += [(i * step, 0.0, 0.0, 0.0), ((i + 1) * step, step, step / 2, step / 2)]
        return torch.tensor([*rows, (1 - step, 0.0, 0.0, step)])

    def evaluate(self, x: Tensor, velocity: Tensor, row: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluates the network once, and moves normalised latents.

        Args:
            x: The latents N×latent_dim.
            velocity: The velocity of the last evaluation, N×latent_dim.
            row: The row of `schedule()` for this evaluation.
            attributes: Attributes N×K.

        Returns:
            The moved latents and the new velocity, N×latent_dim each.
        """
        time, ahead, before, now = row.unbind()
        there = (x + ahead * velocity).unflatten(1, self.network.latent_shape)
        new = self._velocity(there, time, attributes).flatten(1)
        return x + before * velocity + now * new, new

    def _velocity(self, x: Tensor, time: Tensor, attributes: Tensor) -> Tensor:
        # Ones are multiplied by the time, because full() with N would become a constant in an export.
        if not attributes.shape[1]:
            return self.network(x, torch.ones_like(x[:, 0, 0, 0]) * time, attributes)
        # Both velocities are computed at once, in one pass over the weights.
        both = torch.cat([torch.zeros_like(attributes), attributes])
        times = torch.ones_like(both[:, 0]) * time
        # chunk() would make the N of the exported example a constant.
        nothing, told = self.network(torch.cat([x, x]), times, both).unflatten(0, (2, -1)).unbind()
        return nothing + self.guidance * (told - nothing)
