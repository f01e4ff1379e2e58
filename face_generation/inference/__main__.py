"""Draws faces with a trained bundle, edits them, and goes from one to another. See `--help`."""

from omegaconf import DictConfig

from face_generation.command import command
from face_generation.inference.drawing import draw


@command("inference", texts=("bundle", "input", "output", "same_as"))
def main(config: DictConfig) -> None:
    draw(config)


if __name__ == "__main__":
    main()
