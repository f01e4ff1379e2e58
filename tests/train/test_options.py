"""Options that would fail late are refused first."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from face_generation.command import configs_folder
from face_generation.errors import UserError
from face_generation.train.options import check


def composed(*options: str) -> DictConfig:
    with initialize_config_dir(str(configs_folder()), version_base="1.3"):
        return compose("train", ["name=small", "run_dir=run", *options])


@pytest.mark.parametrize(
    "option", ["trainer.max_epochs=null", "trainer.fast_dev_run=true", "trainer.precision=32", "callbacks.last=null"]
)
def test_ordinary_values_are_taken(option: str) -> None:
    check(composed(option))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("seed=abc", "seed=abc; give a whole number of at least 0"),
        ("seed=null", "seed=None; give a whole number"),
        ("seed=-1", "seed=-1; give a whole number"),
        ("seed=5000000000", "of at most 4294967295"),
        ("data.batch_size=0", "data.batch_size=0; give a whole number of at least 1"),
        ("data.num_workers=-1", "data.num_workers=-1; give a whole number of at least 0"),
        ("trainer.max_epochs=abc", "trainer.max_epochs=abc; give a whole number of at least -1"),
        ("trainer.limit_train_batches=all", "trainer.limit_train_batches=all; give a number of at least 0"),
        ("truncation=half", "truncation=half; give a number of at least 0"),
        ("measure_edits=no", "measure_edits=no; give true or false"),
        ("push=yes", "push=yes; give true or false"),
        ("trainer.precision=16-mixed", "trainer.precision=16-mixed; use auto, 32-true or bf16-mixed"),
        ("trainer.precision=17", "trainer.precision=17; use auto"),
        ("callbacks.last.dirpath=elsewhere", "a run keeps its checkpoints in its own folder.* give runs_dir="),
        ("callbacks.best={dirpath:elsewhere}", "callbacks.best.dirpath=elsewhere; a run keeps its checkpoints"),
    ],
)
def test_a_mistake_says_what_to_give(option: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(composed(option))
