"""A torch.hub that finds no network, and nothing that it fetched before."""

from pathlib import Path

import pytest


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the user's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def nothing_to_fetch(torch_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching fails, as it does without a network: the way out is a proxy at a port that nothing listens to."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("urllib.request._opener", None)  # which remembers the proxies of its first use
