"""Trains a model and exports it as a bundle. See `--help`."""

from omegaconf import DictConfig

from face_generation.command import command

TEXTS = (
    "name",
    "ckpt_path",
    "start",
    "runs_dir",
    "data.folder",
    "data.autoencoder",
    "data.cache",
    "data.description",
    "data.licence",
    "logger.mlflow.tracking_uri",
    "logger.mlflow.experiment_name",
    "logger.csv.save_dir",
    "logger.tensorboard.save_dir",
    "logger.wandb.save_dir",
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
)


@command("train", texts=TEXTS)
def main(config: DictConfig) -> float | None:
    from face_generation.train.training import train  # here, because torch takes seconds, and --help needs none

    return train(config)  # a search minimises this


if __name__ == "__main__":
    main()
