"""The models as LightningModules: a network, its losses, its optimizer."""

from face_generation.models.dcgan import DCGAN
from face_generation.models.vae import VAE
from face_generation.models.vae_gan import VAEGAN

__all__ = ["DCGAN", "VAE", "VAEGAN"]
