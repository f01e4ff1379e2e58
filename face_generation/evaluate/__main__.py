"""Measures how good the faces of models are, and reports it with pictures. See `--help`."""

from omegaconf import DictConfig

from face_generation.command import command


@command("evaluate", texts=("bundle", "splits", "inception_weights", "output", "tracking_uri"))
def main(config: DictConfig) -> None:
    from face_generation.evaluate.evaluation import evaluate  # here, because torch takes seconds, and --help needs none

    evaluate(config)


if __name__ == "__main__":
    main()
