"""A training run, from a composed configuration to a bundle."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from face_generation import hardware, runs
from face_generation.callbacks import ApplyOptions, RecordProvenance, StepSeeds
from face_generation.callbacks.resuming import changes
from face_generation.data.datamodule import PackedDataModule
from face_generation.data.versioning import add_and_push
from face_generation.errors import UserError
from face_generation.export.bundle import export_bundle
from face_generation.models import checkpoint
from face_generation.models.base import FaceModel
from face_generation.tracking import Tracker, git_commit


def train(config: DictConfig) -> None:
    """Trains, exports a bundle and, where configured, pushes the checkpoints.

    Everything is written under `config.run_dir`: `checkpoints/`, `bundle/`, `metrics.json` and `config.yaml`.

    Raises:
        UserError: Something in the configuration, the data or the surroundings keeps the run from starting, or the loss
            became NaN.
    """
    resume_from = _resume(config)
    if rank_zero_only.rank:  # the first process holds the folder
        _train(config, resume_from)
        return
    chosen = any(override.startswith("hydra.run.dir=") for override in HydraConfig.get().overrides.hydra)
    with runs.holding(Path(config.run_dir), again=chosen or resume_from is not None) as own:
        config.run_dir = str(own)
        _train(config, resume_from)


def _train(config: DictConfig, resume_from: str | None) -> None:
    hardware.keep_memory()
    run_dir = Path(config.run_dir)
    if config.trainer.precision == "auto":
        before = checkpoint.read(Path(resume_from))["provenance"]["config"]["trainer"] if resume_from else {}
        config.trainer.precision = before.get("precision", hardware.best_precision())
    if not rank_zero_only.rank:
        OmegaConf.save(config, run_dir / runs.CONFIG, resolve=True)
    pl.seed_everything(config.seed, workers=True, verbose=False)

    datamodule: PackedDataModule = instantiate(config.data, _convert_="all")
    datamodule.prepare_data()
    datamodule.setup("fit")
    settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    provenance = {
        "data": datamodule.description,
        "licence": datamodule.licence,
        "config": settings,
        "shapes": datamodule.shapes,
        "git_commit": git_commit(),
    }
    changed = _note_changes(resume_from, provenance)
    model: FaceModel = instantiate(config.model, **datamodule.shapes, _convert_="all")
    if config.start and resume_from is None:
        path = checkpoint.finished(Path(config.start))
        checkpoint.begin_with(path, model)
        print(f"Beginning with the weights in {path}")
    tracker: Tracker | None = instantiate(config.logger)
    callbacks = [instantiate(callback) for callback in config.callbacks.values() if callback]
    callbacks.append(RecordProvenance(provenance))
    if resume_from:
        callbacks.append(ApplyOptions())
    trainer = _trainer(config, model, callbacks=callbacks, logger=tracker or False, default_root_dir=str(run_dir))
    if tracker:
        tracker.log_hyperparams(settings | changed)
        tracker.log_file(run_dir / runs.CONFIG)
        for path, images, checksum, context in datamodule.sources:
            tracker.log_split(path, images, checksum, context)
    if config.compile:
        model.compile_networks()
    try:
        trainer.fit(model, datamodule, ckpt_path=resume_from, weights_only=True)
    except MisconfigurationException as error:
        raise UserError(" ".join(str(error).split())) from error
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        trainer.strategy.barrier()
        torch.distributed.destroy_process_group()  # the first process goes on alone and must wait for nobody
    if trainer.is_global_zero:
        _finish(config, trainer, _trained(config, trainer, model), datamodule, provenance, tracker)


def _trainer(config: DictConfig, model: FaceModel, **options: Any) -> pl.Trainer:
    options["plugins"] = [checkpoint.CheckpointFiles()]
    trainer: pl.Trainer = instantiate(config.trainer, **options)
    if trainer.world_size > 1 and not model.automatic_optimization and config.trainer.strategy in ("auto", "ddp"):
        # Each of several optimizers has a backward pass that reaches its own network only.
        trainer = instantiate(config.trainer, strategy="ddp_find_unused_parameters_true", **options)
    return trainer


def _resume(config: DictConfig) -> str | None:
    """The checkpoint to go on from. A resumed run goes on in the folder that it began in."""
    if config.ckpt_path is None:
        return None
    path = Path(config.ckpt_path)
    if config.ckpt_path == "last":
        found = checkpoint.newest(Path(config.runs_dir), "checkpoints/last.ckpt")
        if not found:
            raise UserError(
                f"no checkpoint to go on from in {config.runs_dir}; train first, or give its path: ckpt_path=…"
            )
        path = found
    checkpoint.read(path)
    if path.parent.name == "checkpoints":
        with suppress(OSError):
            Path(config.run_dir).rmdir()  # Hydra has just made it; it stays where it is the same folder
        config.run_dir = str(path.parents[1])
    print(f"Going on from {path}")
    return str(path)


def _note_changes(resume_from: str | None, provenance: dict[str, Any]) -> dict[str, Any]:
    """Says which options are not those that the checkpoint was trained with, and adds them to `provenance`. Returns
    them as settings whose names say from which batch on they hold."""
    if resume_from is None:
        return {}
    content = checkpoint.read(Path(resume_from))
    if "loops" not in content:
        raise UserError(
            f"{resume_from} has the weights of a finished training, without its state; begin a new one with them: "
            "start=… in place of ckpt_path, or go on from the last.ckpt beside it"
        )
    changed = changes(content["provenance"]["config"], provenance["config"])
    batch = content["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"]
    noted = [{"batch": batch, "option": name, "before": was, "now": now} for name, (was, now) in changed.items()]
    provenance["changes"] = [*content["provenance"].get("changes", []), *noted]
    for name, (was, now) in changed.items():
        print(f"From here on {name} is {now}; it was {was}")
    return {f"{name.replace('.', '/')} from step {batch}": now for name, (_, now) in changed.items()}


def _trained(config: DictConfig, trainer: pl.Trainer, model: FaceModel) -> FaceModel:
    """The model in the best checkpoint; in the last one where no figure is monitored that could tell the best; `model`
    where there was nothing to train."""
    found = [c.best_model_path for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor]
    path = Path(next(filter(None, found), f"{config.run_dir}/checkpoints/last.ckpt"))
    return checkpoint.load(path)[0] if path.exists() else model


def _finish(
    config: DictConfig,
    trainer: pl.Trainer,
    model: FaceModel,
    datamodule: PackedDataModule,
    provenance: Mapping[str, Any],
    tracker: Tracker | None,
) -> None:
    """Trained model → measured → `final.ckpt` → bundle with directions, all on the first process."""
    run_dir = Path(config.run_dir)
    checkpoints = run_dir / runs.CHECKPOINTS
    checkpoints.mkdir(exist_ok=True)
    model.to(trainer.strategy.root_device)
    metrics = _validate(model, datamodule, config)
    provenance = {**provenance, "metrics": metrics}
    checkpoint.save(checkpoints / "final.ckpt", model, provenance)
    (run_dir / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    bundle = export_bundle(
        model,
        run_dir / "bundle",
        config.name,
        provenance,
        datamodule.folder,
        measure=config.measure_edits,
        truncation=config.truncation,
    )
    if tracker:
        batches = trainer.fit_loop.epoch_loop.batch_progress.total.completed  # global_step counts every optimizer's
        tracker.log_metrics({f"final/{name}": value for name, value in metrics.items()}, batches)
        tracker.register(bundle.folder, config.name)
        tracker.end()
    if config.push:
        add_and_push(checkpoints)
    print(f"{bundle.folder}: bundle {bundle.name}; python -m face_generation.inference bundle={bundle.folder} draws")


def _validate(model: FaceModel, datamodule: PackedDataModule, config: DictConfig) -> dict[str, float]:
    """The validation metrics of exactly these weights."""
    trainer = pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        precision=config.trainer.precision,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[StepSeeds(config.seed)],
        limit_val_batches=config.trainer.limit_val_batches,
    )
    measured = trainer.validate(model, datamodule, verbose=False)  # empty where limit_val_batches is 0
    return {name: float(value) for metrics in measured for name, value in metrics.items()}
