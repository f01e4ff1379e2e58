"""Fetches bundles from the Hugging Face Hub: `hf://owner/name` or `hf://owner/name@revision`."""

import re
from pathlib import Path

from face_generation.errors import UserError

HUB_URI = re.compile(r"hf:/")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
NEEDED = "the Hugging Face Hub needs huggingface_hub; pip install huggingface_hub"


def fetch(uri: str) -> Path:
    """Downloads a bundle's repository into the hub's own cache. HF_HOME, HF_TOKEN and HF_ENDPOINT are obeyed.

    Returns:
        The folder in the cache. Without a network it is the copy that was fetched last.

    Raises:
        UserError: The address is malformed, or the repository or revision does not exist or cannot be fetched.
    """
    repository, _, revision = uri.removeprefix("hf://").partition("@")
    if not uri.startswith("hf://") or not REPOSITORY.fullmatch(repository):
        raise UserError(f"{uri} is not an address on the hub; give hf://owner/name or hf://owner/name@revision")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError as error:
        raise UserError(NEEDED) from error
    try:
        return Path(snapshot_download(repository, revision=revision or None))
    except RepositoryNotFoundError as error:
        raise UserError(
            f"{uri} is not on the hub, or private; check the name, or log in with: hf auth login"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"cannot fetch {uri} ({str(error).splitlines()[0]}); check the revision and the network"
        ) from error
