"""Plain networks, from tensors to tensors. Nothing here knows about data, losses or Lightning."""

from face_generation.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from face_generation.networks.decoder import Decoder
from face_generation.networks.discriminator import PatchDiscriminator
from face_generation.networks.encoder import Encoder
from face_generation.networks.features import FeatureNetwork
from face_generation.networks.prior import FlowSampler, FlowTransformer

__all__ = [
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Decoder",
    "Encoder",
    "FeatureNetwork",
    "FlowSampler",
    "FlowTransformer",
    "PatchDiscriminator",
]
