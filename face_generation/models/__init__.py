"""The models as LightningModules: a network, its losses, its optimizer."""

from face_generation.models.vae import VAE

__all__ = ["VAE"]
