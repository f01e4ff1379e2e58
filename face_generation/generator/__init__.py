"""Draws faces with a bundle, using only NumPy and ONNX Runtime: `Generator.load("vae").sample(16, seed=0)`."""

from face_generation.generator.bundle import Bundle
from face_generation.generator.generator import Generator

__all__ = ["Bundle", "Generator"]
