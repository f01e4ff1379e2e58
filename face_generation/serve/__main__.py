"""Serves faces over HTTP, and a page to enjoy them. See `--help`."""

from omegaconf import DictConfig, OmegaConf

from face_generation.command import command
from face_generation.serve.server import serve
from face_generation.serve.settings import Settings


@command("serve", texts=["runtime", "api_keys"])
def main(config: DictConfig) -> None:
    options = OmegaConf.to_container(config, resolve=True)
    assert isinstance(options, dict)
    serve(Settings.read(options))


if __name__ == "__main__":
    main()
