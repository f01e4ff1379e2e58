"""Several hosts train together, started by torchrun, each in a network namespace with an address of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from face_generation.generator import Bundle
from face_generation.models import checkpoint

pytestmark = pytest.mark.slow
# The demo's second stage, cut to six steps with a batch of 16 images. In float32, sums in another order differ least.
DEMO = ["face_generation.train", "experiment=demo_prior", "hydra.run.dir=run"]
DEMO += ["trainer.max_epochs=3", "trainer.precision=32-true", "trainer.accelerator=cpu", "trainer.devices=1"]
DEMO += ["model.network.width=16", "model.network.heads=2", "model.scheduler.warmup_steps=1", "data.cache=latents"]
DEMO += ["data.folder=splits", "data.autoencoder=bundle"]
STEPS = 6
ROUNDING = 1e-4  # of weights; a step moves them by up to 2e-3


def ip(*arguments: str) -> bool:
    """Runs `ip`. Returns whether it succeeded."""
    try:
        return subprocess.run(["ip", *arguments], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def hosts() -> Iterator[list[tuple[str, str, list[str]]]]:
    """Address, network interface and command prefix of two hosts: network namespaces that a cable joins, or two
    loopback addresses where this process may not make such."""
    names = [f"faces{os.getpid()}{side}" for side in "ab"]
    addresses = ["10.211.58.1", "10.211.58.2"]
    made = all([ip("netns", "add", name) for name in names]) and ip(
        "link", "add", "eth0", "netns", names[0], "type", "veth", "peer", "name", "eth0", "netns", names[1]
    )
    try:
        for name, address in zip(names, addresses, strict=True):
            made = made and ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            made = made and ip("-n", name, "link", "set", "eth0", "up") and ip("-n", name, "link", "set", "lo", "up")
        if made:
            yield [
                (address, "eth0", ["ip", "netns", "exec", name]) for name, address in zip(names, addresses, strict=True)
            ]
        else:
            yield [("127.0.0.1", "lo", []), ("127.0.0.2", "lo", [])]
    finally:
        for name in names:
            ip("netns", "delete", name)


def workplace(folder: Path, splits: Path, bundle: Path) -> Path:
    """A working directory on a host of its own, with the data and the autoencoder."""
    folder.mkdir()
    (folder / "splits").symlink_to(splits)
    (folder / "bundle").symlink_to(bundle)
    return folder


def test_two_hosts_train_to_the_weights_of_one_process(
    hosts: list[tuple[str, str, list[str]]], synthetic_splits: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    alone = workplace(tmp_path / "alone", synthetic_splits, tiny_bundle)
    command = [sys.executable, "-m", *DEMO, "data.batch_size=16"]
    done = subprocess.run(command, cwd=alone, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders, processes = [], []
    for number, (address, interface, prefix) in enumerate(hosts):
        folders.append(workplace(tmp_path / f"host{number}", synthetic_splits, tiny_bundle))
        command = [*prefix, sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
        command += [f"--node-rank={number}", f"--master-addr={hosts[0][0]}", f"--master-port={port}"]
        command += [f"--local-addr={address}", "-m", *DEMO, "data.batch_size=8", "trainer.num_nodes=2"]
        environment = os.environ | {"GLOO_SOCKET_IFNAME": interface}
        with (tmp_path / f"host{number}.log").open("w") as log:
            processes.append(
                subprocess.Popen(command, cwd=folders[-1], env=environment, stdout=log, stderr=subprocess.STDOUT)
            )
    try:
        codes = [process.wait(120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0, 0], "".join(path.read_text() for path in sorted(tmp_path.glob("*.log")))

    one, two = (checkpoint.read(folder / "run/checkpoints/last.ckpt") for folder in (alone, folders[0]))
    assert one["global_step"] == two["global_step"] == STEPS
    torch.testing.assert_close(two["state_dict"], one["state_dict"], atol=ROUNDING, rtol=0)
    assert Bundle.load(folders[0] / "run/bundle").name == "demo_prior"
    assert {path.name for path in folders[1].iterdir()} == {"splits", "bundle", "latents"}  # the first host has the run
