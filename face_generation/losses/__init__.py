"""Losses: one class for each idea, with its constants as arguments of the constructor."""

from face_generation.losses.adversarial import GradientPenalty, NonSaturating, RelativisticPairing
from face_generation.losses.flow_matching import FlowMatching
from face_generation.losses.likelihood import FeatureLikelihood, KLDivergence, PixelLikelihood

__all__ = [
    "FeatureLikelihood",
    "FlowMatching",
    "GradientPenalty",
    "KLDivergence",
    "NonSaturating",
    "PixelLikelihood",
    "RelativisticPairing",
]
