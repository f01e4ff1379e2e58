"""Times training steps of the autoencoder on the CPU: images/s, GFLOP/s of model arithmetic, and where the time goes.

python benchmarks/training.py
python benchmarks/training.py --precision 32-true
python benchmarks/training.py --return-memory

The steps are those of `python -m face_generation.train experiment=vae` before the discriminator joins, with Lightning's
Trainer, the packed datamodule, weight averaging, and the check for NaN. The pixels are random, which costs the same as
faces. The arithmetic is what torch's counter finds in the convolutions and matrix products of a forward and a backward
pass of encoder, decoder and feature network. Everything else only counts as time.
"""

import argparse
import logging
import os
import re
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pytorch_lightning.profilers import Profiler
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import profile, record_function
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from face_generation import hardware
from face_generation.command import configs_folder
from face_generation.data.celeba import SPLITS
from face_generation.data.packing import IMAGE_SIZE
from face_generation.models import VAE

TARGET = 550  # GFLOP/s on two cores
WARM_UP = 5  # steps; the first ones choose kernels and fill the allocator
PROFILED = 5  # steps after those that are timed, because the profiler slows them a little

# An operation's own time belongs to the first of these groups whose pattern is in its name or in a caller's.
GROUPS = {
    "data": r"DataLoader|dataloader_next|batch_transfer|batch_to_device",
    "weight averaging": r"WeightAveraging",
    "clipping": r"clip_grad_norm",
    "casts": r"aten::_to_copy$|ToCopyBackward",
    "convolution backward": r"ConvolutionBackward|convolution_backward",
    "convolution forward": r"aten::conv2d$|aten::convolution$",
    "batch normalisation": r"batch_norm|BatchNorm",
    "activation": r"leaky_relu|LeakyRelu",
    "resizing": r"upsample|Upsample|pixel_(un)?shuffle|Pixel(Uns|S)huffle",
    "linear layers": r"aten::linear$|AddmmBackward",
    "compiled kernels": r"CompiledFxGraph",
    "loss and the rest": r"\.(training_step|backward)$",
    "optimizer": r"Optimizer|optimizer",
}


class Regions(Profiler):
    """Marks Lightning's actions in torch's profile."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[str, Any] = {}

    def start(self, action_name: str) -> None:
        self._open[action_name] = record_function(action_name)
        self._open[action_name].__enter__()

    def stop(self, action_name: str) -> None:
        self._open.pop(action_name).__exit__(None, None, None)


class Timer(pl.Callback):
    """Times every step from the end of the one before, and profiles the last ones."""

    def __init__(self, steps: int) -> None:
        self.ends: list[float] = []
        self.steps = WARM_UP + steps
        self.profile = profile(activities=[torch.profiler.ProfilerActivity.CPU])
        self.progress = tqdm(desc="training", total=self.steps + PROFILED, unit=" steps")

    def on_train_batch_end(self, *_: object) -> None:
        self.ends.append(time.perf_counter())
        self.progress.update()
        if len(self.ends) == self.steps:
            self.profile.start()
        elif len(self.ends) == self.steps + PROFILED:
            self.profile.stop()
            self.progress.close()

    @property
    def seconds(self) -> list[float]:
        """Seconds of each timed step."""
        return np.diff(self.ends[WARM_UP - 1 : self.steps]).tolist()

    @property
    def profiled_seconds(self) -> float:
        return self.ends[-1] - self.ends[self.steps - 1]


def flops_per_image(model: VAE) -> int:
    """FLOP of a forward and a backward pass. A multiplication and an addition count as two."""
    images = torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)
    with FlopCounterMode(display=False) as counter:
        reconstructions = model.decode(model.encode(images))
        loss = model.pixels(reconstructions, images)
        if model.features is not None:
            loss = loss + model.features(reconstructions, images)
        loss.backward()
    model.zero_grad()
    return counter.get_total_flops()


def group(event: FunctionEvent) -> str:
    path, caller = event.name, event.cpu_parent
    while caller is not None:
        path, caller = f"{path}\n{caller.name}", caller.cpu_parent
    return next((name for name, pattern in GROUPS.items() if re.search(pattern, path, re.MULTILINE)), "other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30, help="timed steps (default: 30)")
    parser.add_argument("--batch-size", type=int, default=32, help="images (default: 32)")
    parser.add_argument("--precision", default=hardware.best_precision(), help="bf16-mixed or 32-true (default: best)")
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    parser.add_argument("--return-memory", action="store_true", help="leave the allocator as it is, to compare")
    arguments = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # the profiler says nothing about GPUs that it does not find

    if not arguments.return_memory:
        hardware.keep_memory()
    timer = Timer(arguments.steps)
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(configs_folder()), version_base="1.3"):
        pixels = np.random.default_rng(0)
        for split in SPLITS:
            shape = (16 * arguments.batch_size, IMAGE_SIZE, IMAGE_SIZE, 3)
            np.save(Path(folder, f"{split}.npy"), pixels.integers(0, 256, shape, dtype=np.uint8))
        options = [f"data.folder={folder}", f"data.batch_size={arguments.batch_size}", "run_dir=."]
        config = compose("train", ["experiment=vae", *options])
        model: VAE = instantiate(config.model, image_size=IMAGE_SIZE, _convert_="all")
        flops = flops_per_image(model) * arguments.batch_size
        if arguments.compile:
            model.compile_networks()
        callbacks = [instantiate(config.callbacks[name]) for name in ("ema", "throughput", "step_seeds", "stop_on_nan")]
        trainer: pl.Trainer = instantiate(
            config.trainer,
            accelerator="cpu",
            precision=arguments.precision,
            max_epochs=-1,
            max_steps=timer.steps + PROFILED,
            limit_val_batches=0,
            callbacks=[*callbacks, timer],
            profiler=Regions(),
            logger=False,
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        trainer.fit(model, instantiate(config.data))

    print(
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, "
        f"{arguments.precision}, batches of {arguments.batch_size}, {arguments.steps} steps, "
        f"{flops / arguments.batch_size / 1e9:.2f} GFLOP per image, target {TARGET} GFLOP/s"
    )
    print(f"{'':24}{'ms/step':>10}{'images/s':>10}{'GFLOP/s':>10}")
    times = timer.seconds
    for name, seconds in [("mean", statistics.mean(times)), ("median", statistics.median(times)), ("best", min(times))]:
        print(f"{name:24}{1000 * seconds:10.0f}{arguments.batch_size / seconds:10.1f}{flops / seconds / 1e9:10.0f}")

    shares = Counter[str]()
    for event in timer.profile.events():
        shares[group(event)] += event.self_cpu_time_total / 1e6 / timer.profiled_seconds
    shares["other"] = 1 - sum(share for name, share in shares.items() if name != "other")
    print(f"\n{'':24}{'share':>10}{'ms/step':>10}")
    for name, share in shares.most_common():
        print(f"{name:24}{share:10.1%}{1000 * share * timer.profiled_seconds / PROFILED:10.1f}")


if __name__ == "__main__":
    main()
