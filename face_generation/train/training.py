"""Runs a training, from a composed configuration to a bundle."""

import json
import logging
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers.logger import DummyLogger, Logger
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from face_generation import __version__, hardware
from face_generation.data.datamodule import PackedDataModule
from face_generation.data.versioning import add_and_push
from face_generation.errors import UserError, printable
from face_generation.export.bundle import export_bundle
from face_generation.files import FULL, writing
from face_generation.models import checkpoint
from face_generation.models.base import FaceModel
from face_generation.tracking import git_commit
from face_generation.train import folders, options
from face_generation.train.callbacks import ApplyOptions, Progress, RecordProvenance, StepSeeds
from face_generation.train.callbacks.resuming import changes, check_same_batches
from face_generation.train.loggers import begin, end, log_file, log_split, register


def train(config: DictConfig) -> float | None:
    """Trains, exports a bundle and, if so configured, pushes the checkpoints.

    Everything is written under `config.run_dir`: `checkpoints/`, `bundle/`, `metrics.json` and `config.yaml`. A run
    that cannot start and a dry run (`trainer.fast_dev_run`) leave nothing.

    Returns:
        The figure `config.monitor` of the finished model. `None` if it was not measured, and in all processes but the
        first.

    Raises:
        UserError: The configuration, the data or the machine keeps the run from starting, or the loss became NaN.
        KeyboardInterrupt: Somebody pressed Ctrl-C, ended the process with SIGTERM, or closed its terminal. The message
            says how to go on.
    """
    quieten()
    hardware.keep_memory()
    options.check(config)
    resume_from = _resume(config)
    with _interruptible():
        if rank_zero_only.rank:  # type: ignore[attr-defined]  # the first process holds the folder
            return _train(config, resume_from)
        folders.sweep_all(Path(config.runs_dir))
        given = HydraConfig.get().overrides.hydra if HydraConfig.initialized() else []
        chosen = any(override.startswith("hydra.run.dir=") for override in given)
        with folders.holding(Path(config.run_dir), again=chosen or resume_from is not None) as own:
            config.run_dir = str(own)
            return _train(config, resume_from)


def _train(config: DictConfig, resume_from: str | None) -> float | None:
    run_dir = Path(config.run_dir)
    datamodule: PackedDataModule = instantiate(config.data, _convert_="all")
    datamodule.prepare_data()
    datamodule.setup("fit")
    before = checkpoint.read(Path(resume_from)) if resume_from else None
    if config.trainer.precision == "auto":
        known = before["provenance"]["config"]["trainer"] if before else {}
        config.trainer.precision = known.get("precision", hardware.best_precision())
    pl.seed_everything(config.seed, workers=True, verbose=False)
    settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    provenance = {
        "data": datamodule.description,
        "licence": datamodule.licence,
        "config": settings,
        "shapes": datamodule.shapes,
        "version": __version__,
        "git_commit": git_commit(),
    }
    changed = _note_changes(resume_from, before, provenance)
    model = _build(config, provenance)
    if config.start and resume_from is None:
        path = checkpoint.finished(Path(config.start))
        checkpoint.begin_with(path, model)
        print(f"Beginning with the weights in {path}")
    _check_optimizers(model)
    resuming = [ApplyOptions()] if resume_from else []
    trainer = _trainer(config, model, [RecordProvenance(provenance), *resuming])
    _check_batches(trainer, datamodule, before)
    if before:
        model.on_load_checkpoint(before)
        before = None  # it takes as much memory as the training
    trainer.loggers = _loggers(config, trainer)  # last, because some make files at once
    if config.compile:
        model.compile_networks()
    _introduce(config, trainer, model)
    try:
        _record(trainer, run_dir, settings, changed, datamodule.sources)
        _fit(trainer, model, datamodule, resume_from)
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            print("dry run: all of it works; nothing was logged, exported or kept")
            return None
        if not trainer.is_global_zero:
            return None
        trained = _trained(config, trainer, model, provenance)
        metrics = _finish(config, trainer, trained, datamodule, provenance)
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        for logger in trainer.loggers:
            try:
                end(logger, "KILLED" if interrupted else "failed")
            except (Exception, KeyboardInterrupt) as trouble:  # a disk that is full for it, too; Ctrl-C again
                reason = str(trouble) or type(trouble).__name__
                print(f"warning: a {type(logger).__name__} could not end its run ({reason})", file=sys.stderr)
        if interrupted and trainer.is_global_zero:
            raise KeyboardInterrupt(_how_to_go_on(config)) from error
        if isinstance(error, OSError) and error.errno in FULL:
            raise UserError(f"no space left ({error}); free some, {checkpoint.GO_ON}") from error
        raise
    if config.push:
        add_and_push(run_dir / folders.CHECKPOINTS)
    return metrics.get(config.monitor)


def quieten() -> None:
    """Silences what nobody needs of Lightning and MLflow: INFO lines, advertisements, warnings about our choices."""
    for name in ("pytorch_lightning", "lightning_fabric", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("callbacks", "profilers"):  # why training stopped early; where the time went
        logging.getLogger(f"pytorch_lightning.{name}").setLevel(logging.INFO)
    logging.getLogger("pytorch_lightning.loggers.mlflow").setLevel(logging.ERROR)  # it says that it makes an experiment
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it says that a server does not answer, as Tracker does
    for message in (
        ".*does not have many workers",  # data.num_workers
        "Checkpoint directory .* exists and is not empty",  # when a run is resumed
        "You requested to overfit but enabled",  # shuffling, which Lightning then turns off
        ".*LeafSpec",  # a deprecation that concerns Lightning
    ):
        warnings.filterwarnings("ignore", message)


def _introduce(config: DictConfig, trainer: pl.Trainer, model: FaceModel) -> None:
    """Prints what is trained, on which device and into which folder."""
    if trainer.is_global_zero:
        millions = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) / 1e6
        devices = f"{trainer.world_size} × {trainer.strategy.root_device.type}"
        print(f"{config.name}: {millions:.3g} million weights, on {devices} in {trainer.precision}")
        if not config.trainer.fast_dev_run:
            print(f"all of this run is in {config.run_dir}")


def _check_batches(trainer: pl.Trainer, datamodule: PackedDataModule, before: Mapping[str, Any] | None) -> None:
    """Makes the loaders once and compares their lengths with the options, because Lightning does so when a run has
    begun.

    Args:
        before: Checkpoint that the training resumes from, if any.
    """
    datamodule.trainer = trainer  # which knows how many processes share the data
    batches = len(datamodule.train_dataloader())
    if before:
        check_same_batches(before, batches)
    validation = len(datamodule.val_dataloader())
    limits = (batches, trainer.limit_train_batches), (validation, trainer.limit_val_batches)
    for count, limit in limits:
        if isinstance(limit, float) and 0 < count * limit < 1:
            raise UserError(
                f"{limit} of {count} batches is less than one; give trainer.limit_train_batches, limit_val_batches or "
                "overfit_batches a larger share, or a number of batches"
            )
    interval, limit = trainer.val_check_interval, trainer.limit_train_batches
    used = int(batches * limit) if isinstance(limit, float) else min(batches, limit)
    each_epoch = trainer.check_val_every_n_epoch is not None and trainer.limit_val_batches
    if isinstance(interval, int) and each_epoch and interval > used:
        raise UserError(
            f"trainer.val_check_interval={interval}, and an epoch has {used} batches; give fewer, or a share"
        )


def _record(
    trainer: pl.Trainer,
    folder: Path,
    settings: Mapping[str, Any],
    changed: Mapping[str, Any],
    splits: Sequence[tuple[Path, int, str, str]],
) -> None:
    """Begins the run in the loggers, and writes the configuration into the run's folder and the loggers.

    Lightning would begin the run in the loggers as well, but in its own way, and before it looks at the data.

    Args:
        changed: Settings that changed when the run was resumed, by names that say since which batch.
        splits: Arguments of `log_split` for each packed split.
    """
    if trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]
        return
    for logger in trainer.loggers:  # first, because one that cannot be used ends the run
        begin(logger, {**settings, **changed})
    with writing(folder / folders.CONFIG) as file:
        file.write(OmegaConf.to_yaml(settings).encode())
    for logger in trainer.loggers:
        log_file(logger, folder / folders.CONFIG)
        for split in splits:
            log_split(logger, *split)


def _check_optimizers(model: FaceModel) -> None:
    """Makes the optimizers and schedules once, because Lightning makes them when a run has begun."""
    try:
        model.configure_optimizers()
    except (TypeError, ValueError) as error:
        raise UserError(f"no optimizer or schedule can be made of these options: {error}; correct model.…") from error


def _trainer(config: DictConfig, model: FaceModel, callbacks: list[pl.Callback]) -> pl.Trainer:
    given = config.trainer
    if not model.automatic_optimization and (given.gradient_clip_val or given.accumulate_grad_batches != 1):
        raise UserError(
            f"a {type(model).__name__} steps its optimizers by itself; leave trainer.gradient_clip_val and "
            "trainer.accumulate_grad_batches as they are"
        )
    logged = given.fast_dev_run or config.get("logger")
    configured = {
        name: instantiate(callback)
        for name, callback in config.callbacks.items()
        if callback and (logged or not callback._target_.endswith("LearningRateMonitor"))  # without a logger it fails
    }
    ours = {
        "callbacks": [*configured.values(), *callbacks],
        "logger": False,
        "default_root_dir": str(config.run_dir),
        "plugins": [checkpoint.CheckpointFiles()],
    }
    trainer: pl.Trainer = instantiate(given, **ours)
    if trainer.world_size > 1 and not model.automatic_optimization and given.strategy in ("auto", "ddp"):
        # With several optimizers, each backward pass reaches one network only.
        trainer = instantiate(given, strategy="ddp_find_unused_parameters_true", **ours)
    return trainer


def _loggers(config: DictConfig, trainer: pl.Trainer) -> list[Logger]:
    """Makes the loggers, on the first process only."""
    configured = [logger for logger in (config.get("logger") or {}).values() if logger]
    if config.trainer.fast_dev_run or (configured and not trainer.is_global_zero):
        return [DummyLogger()]  # because some callbacks refuse to run without a logger
    return [instantiate(logger) for logger in configured]


def _fit(trainer: pl.Trainer, model: FaceModel, datamodule: PackedDataModule, resume_from: str | None) -> None:
    try:
        with _interruption(trainer):
            trainer.fit(model, datamodule, ckpt_path=resume_from, weights_only=True)
    except (MisconfigurationException, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith("Early stopping conditioned on metric"):
            raise
        raise UserError(" ".join(str(error).split())) from error
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        trainer.strategy.barrier()
        torch.distributed.destroy_process_group()  # the first process goes on alone and must not wait for others


@contextmanager
def _interruptible() -> Iterator[None]:
    """Makes SIGTERM, and SIGHUP from a terminal that closes, do what Ctrl-C does."""
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    with suppress(ValueError):  # only the main thread may handle signals
        for number in numbers:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        with suppress(ValueError):
            for number in numbers:
                signal.signal(number, signal.SIG_DFL)


@contextmanager
def _interruption(trainer: pl.Trainer) -> Iterator[None]:
    """Raises `KeyboardInterrupt` on Ctrl-C, which Lightning would turn into an exit with status 1.

    Lightning also ignores Ctrl-C from then on. This is undone, because what follows may take long.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if trainer.interrupted:
            with suppress(ValueError):  # only the main thread may handle signals
                signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from error
        raise


def _how_to_go_on(config: DictConfig) -> str:
    """Says which command resumes an interrupted run."""
    if config.study:
        return "the same command goes on with the search"
    last = Path(config.run_dir) / "checkpoints/last.ckpt"
    if not last.exists():
        return "there is no checkpoint yet to go on from"
    newest = checkpoint.newest(Path(config.runs_dir), "checkpoints/last.ckpt")  # another run may be training as well
    typed = []
    if HydraConfig.initialized():
        hydra = HydraConfig.get()
        typed += [
            f"--config-dir={each.path}" for each in hydra.runtime.config_sources if each.provider == "command-line"
        ]
        typed += [option for option in hydra.overrides.hydra if option.startswith("hydra.searchpath=")]
        typed += [option for option in hydra.overrides.task if not option.startswith("ckpt_path=")]
    typed.append("ckpt_path=last" if newest and newest.samefile(last) else f"ckpt_path={last}")
    return f"go on with: python -m face_generation.train {shlex.join(typed)}"


def _resume(config: DictConfig) -> str | None:
    """Finds the checkpoint to resume from. A resumed run goes on in the folder that it began in."""
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
        config.run_dir = str(path.parents[1])
    print(f"Going on from {path}")
    return str(path)


def _note_changes(
    resume_from: str | None, content: Mapping[str, Any] | None, provenance: dict[str, Any]
) -> dict[str, Any]:
    """Prints which options have changed since the checkpoint was written, and adds them to `provenance`. Returns them
    as settings whose names say from which batch on they hold."""
    if content is None:
        return {}
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
        print(printable(f"From here on {name} is {now}; it was {was}"))  # the checkpoint may come from anybody
    return {f"{name.replace('.', '/')} from step {batch}": now for name, (_, now) in changed.items()}


def _build(config: DictConfig, provenance: Mapping[str, Any]) -> FaceModel:
    return instantiate(config.model, **provenance["shapes"], _convert_="all")


def _trained(config: DictConfig, trainer: pl.Trainer, model: FaceModel, provenance: Mapping[str, Any]) -> FaceModel:
    """Builds a model with the weights of the best checkpoint, or of the last if no monitored figure tells the best.
    Returns `model` if there was nothing to train."""
    found = [c.best_model_path for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor]
    path = Path(next(filter(None, found), f"{config.run_dir}/checkpoints/last.ckpt"))
    if not path.exists():
        return model
    trained = _build(config, provenance)  # as configured, so it may have parts that `checkpoint.load` does not trust
    checkpoint.begin_with(path, trained)
    trained.calibrate()
    return trained


def _finish(
    config: DictConfig,
    trainer: pl.Trainer,
    model: FaceModel,
    datamodule: PackedDataModule,
    provenance: Mapping[str, Any],
) -> dict[str, float]:
    """Validates the trained model, writes `final.ckpt` and exports a bundle, all on the first process. Returns the
    figures of the validation."""
    run_dir = Path(config.run_dir)
    checkpoints = run_dir / folders.CHECKPOINTS
    checkpoints.mkdir(exist_ok=True)
    model.to(trainer.strategy.root_device)
    metrics = _validate(model, datamodule, config, trainer)
    provenance = {**provenance, "metrics": metrics}
    checkpoint.save(checkpoints / "final.ckpt", model, provenance)
    with writing(run_dir / "metrics.json") as file:
        file.write((json.dumps(metrics, indent=2) + "\n").encode())
    bundle = export_bundle(
        model,
        run_dir / "bundle",
        config.name,
        provenance,
        datamodule.folder,
        measure=config.measure_edits,
        truncation=config.truncation,
    )
    batches = trainer.fit_loop.epoch_loop.batch_progress.total.completed  # global_step counts every optimizer's
    for logger in trainer.loggers:
        logger.log_metrics({f"final/{name}": value for name, value in metrics.items()}, batches)
        register(logger, bundle.folder, config.name)
        end(logger, "success")
    option = shlex.quote(f"bundle={bundle.folder}")
    print(f"{bundle.folder}: bundle {bundle.name}; python -m face_generation.inference {option} draws")
    return metrics


def _validate(
    model: FaceModel, datamodule: PackedDataModule, config: DictConfig, fitted: pl.Trainer
) -> dict[str, float]:
    """Measures the validation metrics of exactly these weights."""
    shown = [callback for callback in fitted.callbacks if isinstance(callback, Progress)]  # type: ignore[attr-defined]
    trainer = pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        precision=config.trainer.precision,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=[StepSeeds(config.seed), *shown],
        limit_val_batches=config.trainer.limit_val_batches,
    )
    with _interruption(trainer):
        measured = trainer.validate(model, datamodule, verbose=False)  # empty where limit_val_batches is 0
    return {name: float(value) for metrics in measured for name, value in metrics.items()}
