"""Flow matching: the loss of the prior."""

import torch
from torch import Tensor, nn


class FlowMatching(nn.Module):
    """Squared error of the velocity along straight lines from noise to latents (Lipman et al. 2023; Liu et al. 2023).

    Times are logit-normal, because velocities in the middle are hardest to know (Esser et al. 2024).

    Args:
        time_mean: Of the times' logits; above 0 is nearer to the latents.
        time_std: Of the same.
    """

    def __init__(self, time_mean: float = 0.0, time_std: float = 1.0) -> None:
        super().__init__()
        self.time_mean = time_mean
        self.time_std = time_std

    def forward(
        self, network: nn.Module, latents: Tensor, attributes: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Normalised latents N×C×H×W and what is said of them, N×K → mean squared error per dimension, a scalar; 1 is
        what knowing no more than the mean of everything costs beyond the latents' own variance."""
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        logits = self.time_mean + self.time_std * torch.randn(len(latents), generator=generator, device=latents.device)
        time = logits.sigmoid()
        t = time.view(-1, 1, 1, 1)
        velocity = network(noise.lerp(latents, t), time, attributes)
        return (velocity.float() - (latents - noise)).square().mean()
