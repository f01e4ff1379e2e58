import socket
from pathlib import Path

import pytest
import torch

from face_generation.metrics import Gap
from face_generation.metrics.weights import fetching

URL = "https://weights.invalid/network-12345678.pth"


@pytest.mark.usefixtures("nothing_to_fetch")
def test_no_network_is_a_gap_with_reason_and_remedy() -> None:
    expected = r"the weights cannot be fetched \(.*[Cc]onnection refused\); bring them along$"

    with pytest.raises(Gap, match=expected), fetching("the weights", "bring them along"):
        torch.hub.load_state_dict_from_url(URL)


@pytest.mark.usefixtures("nothing_to_fetch")
def test_damaged_file_is_a_gap(torch_home: Path) -> None:
    folder = torch_home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "network-12345678.pth").write_text("<html>Please log in</html>")

    expected = "the weights cannot be fetched .*; bring them along$"

    with pytest.raises(Gap, match=expected), fetching("the weights", "bring them along"):
        torch.hub.load_state_dict_from_url(URL, weights_only=True)


def test_a_file_with_another_checksum_is_a_gap(tmp_path: Path, torch_home: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "network-12345678.pth")
    url = (tmp_path / "network-12345678.pth").as_uri()

    with pytest.raises(Gap, match="invalid hash value"), fetching("the weights", "bring them along"):
        torch.hub.load_state_dict_from_url(url, check_hash=True)


def test_what_arrives_is_there_and_the_rest_as_it_was(
    tmp_path: Path, torch_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "network.pth")
    before = socket.getdefaulttimeout()

    with fetching("the weights", "bring them along"):
        assert socket.getdefaulttimeout() is not None  # a server that falls silent is not waited for without end
        weights = torch.hub.load_state_dict_from_url((tmp_path / "network.pth").as_uri())

    assert weights["a"].tolist() == [1, 1]
    assert socket.getdefaulttimeout() == before
    assert capsys.readouterr().out == ""
