"""LightningModules: the models with their losses and optimizers."""

from face_generation.models.dcgan import DCGAN
from face_generation.models.prior import Prior
from face_generation.models.vae import VAE

__all__ = ["DCGAN", "VAE", "Prior"]
