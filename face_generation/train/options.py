"""Checks options whose mistakes Lightning, torch or the export would report late or unclearly."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from face_generation.errors import UserError
from face_generation.train import folders

# The smallest value of each option that is a whole number.
WHOLE = {
    "seed": 0,
    "data.batch_size": 1,
    "data.num_workers": 0,
    "trainer.num_nodes": 1,
    "trainer.max_epochs": -1,
    "trainer.max_steps": -1,
    "trainer.accumulate_grad_batches": 1,
    "trainer.log_every_n_steps": 0,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.num_sanity_val_steps": -1,
}
# The smallest value of each option that is any number.
NUMBERS = {
    "truncation": 0,
    "trainer.gradient_clip_val": 0,
    "trainer.limit_train_batches": 0,
    "trainer.limit_val_batches": 0,
    "trainer.overfit_batches": 0,
    "trainer.fast_dev_run": 0,
}
SWITCHES = ("compile", "measure_edits", "push")
LARGEST_SEED = 2**32 - 1
# Not float16, which needs scaled gradients, because models clip gradients by themselves.
PRECISIONS = ("auto", "32-true", "32", "bf16-mixed", "bf16")


def check(config: DictConfig) -> None:
    """Raises `UserError` if an option is of the wrong kind or out of range."""
    for options, kind, wanted in ((WHOLE, int, "a whole number"), (NUMBERS, int | float, "a number")):
        for name, least in options.items():
            value = OmegaConf.select(config, name)
            if value is None and name.startswith("trainer."):
                continue
            if not isinstance(value, kind) or value < least:
                raise UserError(f"{name}={value}; give {wanted} of at least {least}")
    if config.seed > LARGEST_SEED:
        raise UserError(f"seed={config.seed}; give a whole number of at most {LARGEST_SEED}")
    for name in SWITCHES:
        if not isinstance(config[name], bool):
            raise UserError(f"{name}={config[name]}; give true or false")
    if str(config.trainer.precision) not in PRECISIONS:
        raise UserError(f"trainer.precision={config.trainer.precision}; use auto, 32-true or bf16-mixed")
    for name in ("best", "last"):
        given = OmegaConf.select(config, f"callbacks.{name}.dirpath")
        if given and Path(given) != Path(config.run_dir) / folders.CHECKPOINTS:
            raise UserError(
                f"callbacks.{name}.dirpath={given}; a run keeps its checkpoints in its own folder, where no other run "
                "overwrites them and ckpt_path=last finds them; to put runs elsewhere, give runs_dir=…"
            )
