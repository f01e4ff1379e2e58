"""All metrics, in the order of the table."""

from face_generation.metrics import (
    diversity,
    frechet,
    inception,
    manifold,
    memorisation,
    recognition,
    reconstruction,
    sharpness,
    spectrum,
    two_sample,
    wasserstein,
)

_METRICS = (
    inception.FID,
    inception.KID,
    frechet.FACE_FRECHET,
    manifold.PRECISION,
    manifold.RECALL,
    *two_sample.METRICS,
    *wasserstein.METRICS,
    recognition.DETECTION_RATE,
    sharpness.SHARPNESS,
    spectrum.GRID_ARTEFACT,
    diversity.MS_SSIM,
    diversity.FACE_DIVERSITY,
    *reconstruction.METRICS,
    *memorisation.METRICS,
)
METRICS = {metric.key: metric for metric in _METRICS}
