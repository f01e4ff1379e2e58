"""Writes a web site that draws faces in the visitor's browser, without a server. See `--help`."""

from pathlib import Path

from omegaconf import DictConfig

from face_generation.command import command
from face_generation.site import write_site


@command("site", texts=["out", "runtime"])
def main(config: DictConfig) -> None:
    places = [config.bundles] if isinstance(config.bundles, str) else list(config.bundles)
    out = Path(config.out)
    write_site(out, places, Path(config.runtime) if config.runtime else None)
    print(f"{out}: look at it with `python -m http.server --directory {out}`, and copy it to any static host")


if __name__ == "__main__":
    main()
