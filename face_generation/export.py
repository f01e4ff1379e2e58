"""Writes a checkpoint as a bundle, or adds directions to a bundle. See `--help`."""

from omegaconf import DictConfig

from face_generation.entry import command


@command("export")
def main(config: DictConfig) -> None:
    from pathlib import Path

    from face_generation.models import checkpoint
    from face_generation.models.export import export_bundle, extend_bundle

    splits = Path(config.splits).expanduser() if config.splits else None
    if config.bundle:
        bundle = extend_bundle(config.bundle, splits)
    else:
        model, provenance = checkpoint.load(Path(config.ckpt))
        bundle = export_bundle(model, Path(config.out), config.name or Path(config.out).name, provenance, splits)
    print(f"{bundle.folder}: bundle {bundle.name}; python -m face_generation.inference bundle={bundle.folder} draws")


if __name__ == "__main__":
    main()
