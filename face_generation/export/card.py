"""Writes the card of a bundle: what people should know before they draw faces with it (Mitchell et al. 2019)."""

import json
from collections.abc import Mapping
from typing import Any

from face_generation.editing.finding import MIN_AUC, MIN_CLASSIFIER_AUC
from face_generation.editing.measure import MIN_CHANGE
from face_generation.files import writing
from face_generation.generator.bundle import CARD, DIRECTIONS, PREVIEW, Bundle
from face_generation.metrics import BETTER
from face_generation.metrics.registry import METRICS

PREVIEW_FACES = 64
EDIT_COLUMNS = (
    "attribute",
    "right (majority)",
    "AUC",
    "classifier's AUC",
    "strength",
    "share with it",
    "change",
    "others",
    "most other",
    "found",
    "same",
)
MEANINGS = {
    "val/loss": "the loss that was minimised; lower is better",
    "val/pixels": "negative log likelihood of pixels, in nats per image; lower is better",
    "val/features": "negative log likelihood of feature maps, in nats per image; lower is better",
    "val/kl": "information in the latents, in nats per image",
    "val/psnr": "PSNR of reconstructions, in dB; higher is better",
    "val/ssim": "SSIM of reconstructions, up to 1; higher is better",
    "val/loss_told": "error of the prior's velocities, told all attributes; lower is better",
    "val/loss_untold": "error of the prior's velocities, told no attributes; lower is better",
    "val/swd": "sliced Wasserstein distance of samples to real faces, ×1000; lower is better",
}


def write_card(bundle: Bundle) -> None:
    """Writes the card of a bundle into its folder, in place of an older one, from the manifest alone."""
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

Code: {_code(bundle.training)}; the whole configuration is in `bundle.json`.

## What it is for, and not for

The model is for research on generative models, for teaching, and for pictures of people who do not exist, as far as
the licence allows. It must not be used to identify, deceive or harass anyone, or to decide about people. The faces
share the biases of the training data: who was photographed, how, and how often. A reconstruction of a photo is not that
person's likeness.
{_evaluation(bundle)}{_broken(bundle)}{_asked(bundle)}{_edits(bundle)}
## Figures at the end of training

The figures are those of the exported weights. Their names begin with the split that they were measured on.

| figure | value | meaning |
| --- | --- | --- |
{figures}
"""
    with writing(bundle.folder / CARD) as file:
        file.write(text.encode())


def _code(training: Mapping[str, Any]) -> str:
    """Which code trained a model: the version of this package, and the commit if it ran from a repository."""
    known = {"version": training.get("version"), "commit": training.get("git_commit")}
    return ", ".join(f"{name} {value}" for name, value in known.items() if value) or "unknown"


def _evaluation(bundle: Bundle) -> str:
    """The section about how good the faces are; empty if that was not measured."""
    if "figures" not in bundle.evaluation:
        return ""
    rows = []
    for key, metric in METRICS.items():
        if figure := bundle.evaluation["figures"].get(key):
            cells = [metric.title, _figure(figure), _figure(bundle.evaluation["real"].get(key)), BETTER[metric.better]]
            rows.append(f"| {' | '.join(cells)} |")
    absent = [metric.title for key, metric in METRICS.items() if key not in bundle.evaluation["figures"]]
    return f"""
## How good its faces are

{bundle.evaluation["comparison"]} Intervals are 95 % bootstrap intervals. This command writes a report that explains
each figure.

    {bundle.evaluation["command"]}

| figure | {bundle.name} | real faces | |
| --- | --- | --- | --- |
{chr(10).join(rows)}

Not measured: {", ".join(absent) or "none"}.

{_also_losses(bundle)}
"""


def _also_losses(bundle: Bundle) -> str:
    """The sentences that name the figures which use something that the model was trained with."""
    losses = bundle.training.get("losses")
    if losses is None:
        return "The manifest does not say which of these figures were also losses in training."
    titles = [
        metric.title
        for key, metric in METRICS.items()
        if key in bundle.evaluation["figures"] and not set(metric.judges).isdisjoint(losses)
    ]
    return (
        f"Figures that were also losses in training, and are no independent evidence: {'; '.join(titles) or 'none'}. "
        f"The losses were: {', '.join(losses)}."
    )


def _broken(bundle: Bundle) -> str:
    """The section about how many faces look broken; empty if nobody has counted them."""
    if "broken" not in bundle.evaluation:
        return ""
    rows = [
        f"| {count['truncation']:g} | {count['broken']} of {count['of']} | "
        f"{100 * count['low']:.1f} to {100 * count['high']:.1f} % | {count['date']} | {count['seed']} |"
        for count in bundle.evaluation["broken"]
    ]
    return f"""
## Broken faces

A person counted broken faces on sheets of fresh faces, which no figure uses. Intervals are exact 95 % binomial
intervals. No face in a photo is broken, so there is nothing to compare with.

| truncation | broken | interval | counted on | first seed |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}
"""


def _asked(bundle: Bundle) -> str:
    """The section about attributes that faces can be asked to have; empty if there are none."""
    if not bundle.attributes:
        return ""
    offered = [each["name"] for each in bundle.attributes if each["offered"]]
    rows = [
        f"| {each['name']} | {_figure(each['found'])} | {_figure(each['found_in_photos'])} | "
        f"{'yes' if each['offered'] else 'no'} |"
        for each in bundle.attributes
        if "found" in each and "found_in_photos" in each
    ]
    table = f"""
The table shows how often a classifier finds an attribute in faces that were asked to have it, at truncation 1, and in
photos that have it, with 95 % intervals. The classifier has never seen drawn faces, and it errs on photos as well. An
attribute that it finds too rarely is not offered.

| attribute | asked for | in photos | offered |
| --- | --- | --- | --- |
{chr(10).join(rows)}
"""
    return f"""
## Attributes on demand

    python -m face_generation.inference bundle={bundle.name} 'attributes={{{offered[0] if offered else "…"}: 1}}'

{len(offered)} of {len(bundle.attributes)} attributes are offered.
{table if rows else "How often they are found in faces has not been measured."}
"""


def _edits(bundle: Bundle) -> str:
    """The section about the directions of edits; empty if there are none for attributes."""
    if DIRECTIONS not in bundle.files:
        return ""
    content = json.loads((bundle.folder / DIRECTIONS).read_text(encoding="utf-8"))
    if not content["attributes"] or "faces" not in content:  # in the second case another program found them
        return ""
    attributes, faces = content["attributes"], content["faces"]
    fitted, tested = f"{faces['fitted']:,}", f"{faces['tested']:,}"
    if bundle.has_encoder:
        fitted, tested = f"{fitted} encoded training faces, mirror images included", f"{tested} encoded held-out faces"
    else:
        fitted, tested = f"{fitted} drawn faces, labelled by a classifier", f"{tested} other such faces"
    held_out = {
        "val and test": "labelled faces of the validation and the test split",
        "train": "labelled faces of the training split. The model itself was trained on them, without their labels",
    }[faces["held_out_from"]]
    return f"""
## Edits

    python -m face_generation.inference bundle={bundle.name} seed=7 'edits={{{attributes[0]["name"]}: 2}}'

`directions.json` has a direction in latent space for each attribute below. Strength 1 is the mean difference between
faces with and without the attribute. A linear model in latent space was fitted to {fitted},
and tested on {tested}. Its AUC (area under the ROC curve) is 0.5 if it guesses and 1 if it is always right.
Attributes that go together in the data partly go together in the edits. Held-out faces are {held_out}.
{_measured_edits(attributes, faces) if faces["edited"] else _unmeasured_edits(attributes, bundle.name)}
Left out, because they do not meet these conditions, or because too few faces have or lack them:
{", ".join(content["left_out"]) or "none"}.
"""


def _measured_edits(attributes: list[dict[str, Any]], faces: dict[str, int]) -> str:
    rows = []
    for attribute in attributes:
        figures, edit = attribute["figures"], attribute["figures"]["edit"]
        cells = [
            attribute["name"],
            f"{figures['accuracy']:.2f} ({figures['majority']:.2f})",
            f"{figures['auc']:.2f}",
            f"{figures['classifier']['auc']:.2f}",
            f"{edit['strength']:+g}",
            f"{edit['before']:.2f} → {edit['after']:.2f}",
            f"{edit['change']:+.2f}",
            f"{edit['others']:.2f}",
            f"{edit['most_changed']} {edit['most_change']:+.2f}",
            *(f"{edit[key]:.2f}" if key in edit else "–" for key in ("found", "identity")),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return f"""
Edits are measured on {faces["edited"]} drawn faces, whose attributes a classifier judges before and after. It was
trained on {faces["train"]:,} labelled training faces and has never seen drawn faces. It errs as well: the table has its
AUC on {faces["held_out"]:,} held-out faces.

| {" | ".join(EDIT_COLUMNS)} |
|{" --- |" * len(EDIT_COLUMNS)}
{chr(10).join(rows)}

- right: how often the linear model is right, and in brackets, how often the more frequent answer is.
- strength: 1, 2 or 3, the least that turns half of the faces. It is negative if most faces have the attribute already.
- share with it: share of the faces with the attribute, before → after.
- change: change of the attribute's mean probability.
- others: mean absolute change of the other attributes' probabilities.
- most other: the other attribute whose mean probability changes most.
- found: share of the edited faces in which a face detector finds a face.
- same: distance between a face recogniser's embeddings before and after. Up to about 0.6, it sees the same person.

An attribute is listed if the AUC is at least {MIN_AUC} and the classifier's AUC at least {MIN_CLASSIFIER_AUC}, and if
the edit changes it by at least {MIN_CHANGE} and more than any other attribute.
"""


def _unmeasured_edits(attributes: list[dict[str, Any]], name: str) -> str:
    rows = [
        f"| {each['name']} | {figures['accuracy']:.2f} ({figures['majority']:.2f}) | {figures['auc']:.2f} |"
        for each in attributes
        for figures in (each["figures"],)
    ]
    return f"""
| attribute | right (always the more frequent) | AUC |
| --- | --- | --- |
{chr(10).join(rows)}

An attribute is listed if the AUC is at least {MIN_AUC}. What the edits change has not been measured. To measure it:

    python -m face_generation.export bundle={name} splits=splits
"""


def _figure(figure: dict[str, float] | None) -> str:
    if figure is None:
        return "–"
    return f"{figure['value']:.3g} ({figure['low']:.3g} to {figure['high']:.3g})"
