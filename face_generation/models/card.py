"""The card of a bundle: what a person should know before drawing faces with it (Mitchell et al. 2019)."""

from face_generation.generator.bundle import CARD, PREVIEW, Bundle
from face_generation.metrics import BETTER, CATALOGUE

PREVIEW_FACES = 36
MEANINGS = {
    "val/loss": "negative ELBO, nats per image; lower is better",
    "val/reconstruction": "its reconstruction part, nats per image; lower is better",
    "val/kl": "its KL part, nats per image: information in a latent",
    "val/active_dimensions": "latent dimensions that carry over 0.01 nats",
    "val/psnr": "of reconstructions, dB; higher is better",
    "val/ssim": "of reconstructions, up to 1; higher is better",
    "val/swd": "sliced Wasserstein distance of samples to real faces, ×1000; lower is better",
    "test/bits_per_dim": "negative ELBO under the learned prior, bits per pixel value; lower is better",
    "prior/normal_nats": "nats to describe a latent under N(0, I)",
    "prior/gaussian_nats": "under a fitted Gaussian",
    "prior/flow_nats": "under the learned prior; the lower of the three is the best",
}


def write_card(bundle: Bundle) -> None:
    """Writes the card of a bundle into its folder, from the manifest alone; one that was there is replaced."""
    figures = "\n".join(
        f"| {name} | {value:.5g} | {MEANINGS.get(name, '')} |" for name, value in sorted(bundle.metrics.items())
    )
    text = f"""# {bundle.name}

![Uncurated samples, seeds 0 to {PREVIEW_FACES - 1}]({PREVIEW})

A {bundle.training.get("model", "model")} that draws RGB faces of {bundle.image_size}×{bundle.image_size} pixels from
{bundle.latent_dim} standard normal numbers. The picture shows seeds 0 to {PREVIEW_FACES - 1}, not selected.

    python -m face_generation.inference bundle={bundle.name}

## Training data and licence

{bundle.training.get("data", "Unknown.")}

{bundle.licence}

Code: commit {bundle.training.get("git_commit") or "unknown"}; the whole configuration is in `bundle.json`.

## What it is for, and not for

For research on generative models, for teaching, and for pictures of people who do not exist where the licence allows.
Not for identifying, deceiving or harassing anyone, nor for decisions about people. The faces share the biases of the
training data: who was photographed, how, and how often. A reconstruction of a photo is not that person's likeness.
{_evaluation(bundle)}
## Figures at the end of training

With the exported weights, on the split that the name begins with.

| figure | value | meaning |
| --- | --- | --- |
{figures}
"""
    (bundle.folder / CARD).write_text(text, encoding="utf-8")


def _evaluation(bundle: Bundle) -> str:
    """The section about how good the faces are; empty where that was not measured."""
    if not bundle.evaluation:
        return ""
    rows = []
    for key, metric in CATALOGUE.items():
        if figure := bundle.evaluation["figures"].get(key):
            cells = [metric.title, _figure(figure), _figure(bundle.evaluation["real"].get(key)), BETTER[metric.better]]
            rows.append(f"| {' | '.join(cells)} |")
    absent = [metric.title for key, metric in CATALOGUE.items() if key not in bundle.evaluation["figures"]]
    return f"""
## How good its faces are

{bundle.evaluation["comparison"]} With 95 % bootstrap intervals; what each figure means is in the report that the
command writes.

    {bundle.evaluation["command"]}

| figure | {bundle.name} | real faces | |
| --- | --- | --- | --- |
{chr(10).join(rows)}

Without a figure here: {", ".join(absent) or "none"}.
"""


def _figure(figure: dict[str, float] | None) -> str:
    if figure is None:
        return "–"
    return f"{figure['value']:.3g} ({figure['low']:.3g} to {figure['high']:.3g})"
