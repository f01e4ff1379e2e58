"""The loss of the prior: flow matching."""

from torch import Tensor, nn

from face_generation import randomness


class FlowMatching(nn.Module):
    """Squared error of the velocity along straight lines from noise to latents (Lipman et al. 2023; Liu et al. 2023).

    Times are logit-normal, because velocities are hardest to predict in the middle (Esser et al. 2024).

    Args:
        time_mean: Mean of the logits of times. Above 0, times are nearer to the latents than to the noise.
        time_std: Standard deviation of the logits of times.
    """

    def __init__(self, time_mean: float = 0.0, time_std: float = 1.0) -> None:
        super().__init__()
        self.time_mean = time_mean
        self.time_std = time_std

    def forward(self, network: nn.Module, latents: Tensor, attributes: Tensor) -> Tensor:
        """Normalised latents N×C×H×W and their attributes N×K, as told → mean squared error per dimension, a scalar."""
        noise = randomness.normal(*latents.shape, device=latents.device)
        time = randomness.normal(len(latents), device=latents.device)
        time = (self.time_mean + self.time_std * time).sigmoid()
        velocity = network(noise.lerp(latents, time.view(-1, 1, 1, 1)), time, attributes)
        return (velocity.float() - (latents - noise)).square().mean()
