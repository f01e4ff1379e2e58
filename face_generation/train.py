"""Trains a model and exports it as a bundle. See `--help`."""

from omegaconf import DictConfig

from face_generation.entry import command


@command("train")
def main(config: DictConfig) -> None:
    from face_generation.training import train  # torch and Lightning take seconds, which --help does without

    train(config)


if __name__ == "__main__":
    main()
