"""Publishes a bundle on the Hugging Face Hub. See `--help`."""

from omegaconf import DictConfig

from face_generation.command import command


@command("push", texts=("bundle",))
def main(config: DictConfig) -> None:
    from face_generation.generator.bundle import Bundle
    from face_generation.push.hub import push

    address = push(Bundle.load(config.bundle), config.repository, config.private)
    print(f"{address}: python -m face_generation.inference bundle={address} draws")


if __name__ == "__main__":
    main()
