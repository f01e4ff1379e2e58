"""Publishes a bundle on the Hugging Face Hub. `bundle=hf://owner/name` draws from it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from face_generation.errors import UserError
from face_generation.generator.bundle import CARD, MANIFEST, PREVIEW, Bundle
from face_generation.generator.hub import NEEDED, REPOSITORY

SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")  # matches identifiers such as MIT or CC-BY-4.0, and no sentences
LINK = re.compile(r"https?://[^\s)]+")


def push(bundle: Bundle, repository: str, private: bool = False) -> str:
    """Uploads a bundle's files in one commit. A repository that does not exist is created.

    Args:
        bundle: Bundle on disk.
        repository: Name of the repository, `owner/name`.
        private: Whether a new repository is private.

    Returns:
        The address to draw from, `hf://owner/name`.

    Raises:
        UserError: The name is malformed, nobody is logged in, or the hub refuses.
    """
    if not REPOSITORY.fullmatch(repository):
        raise UserError(f"repository={repository} is not a name on the hub; give owner/name")
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise UserError(NEEDED) from error
    card = front_matter(bundle) + (bundle.folder / CARD).read_text(encoding="utf-8")
    files = [CommitOperationAdd(name, bundle.folder / name) for name in (*bundle.files, MANIFEST)]
    files.append(CommitOperationAdd(CARD, card.encode()))
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.create_commit(repository, files, commit_message=f"Upload the bundle {bundle.name}")
    except (HfHubHTTPError, OSError) as error:
        raise UserError(
            f"the hub took no upload to {repository} ({str(error).splitlines()[0]}); "
            "check the name and the network, and log in with: hf auth login"
        ) from error
    return f"hf://{repository}"


def front_matter(bundle: Bundle) -> str:
    """The part of a card that the hub reads: licence, tags and figures, in YAML. It is written as JSON, which is YAML
    with safe quotes."""
    about: dict[str, Any] = {
        **_licence(bundle.licence),
        "library_name": "face-generation",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["faces", "onnx", str(bundle.training.get("model", "generator")).lower()],
        "thumbnail": PREVIEW,
    }
    results = _results(bundle.evaluation.get("figures", {}))
    if results:
        data = {"name": bundle.evaluation["comparison"], "type": "faces"}
        task = {"type": "unconditional-image-generation"}
        about["model-index"] = [{"name": bundle.name, "results": [{"task": task, "dataset": data, "metrics": results}]}]
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in about.items())
    return "---\n" + "\n".join(lines) + "\n---\n\n"


def _results(figures: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    if not figures:
        return []
    from face_generation.metrics.registry import METRICS  # here, because it imports torch, which takes seconds

    return [
        {"type": key, "name": METRICS[key].title, "value": figure["value"]}
        for key, figure in figures.items()
        if key in METRICS
    ]


def _licence(text: str) -> dict[str, str]:
    if SPDX.fullmatch(text):
        return {"license": text.lower()}
    link = LINK.search(text)
    return {"license": "other", "license_name": "see-card", "license_link": link[0].rstrip(".") if link else CARD}
