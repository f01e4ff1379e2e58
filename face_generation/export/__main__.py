"""Writes a checkpoint as a bundle, or adds directions to a bundle. See `--help`."""

import shlex

from omegaconf import DictConfig

from face_generation.command import command


@command("export", texts=("ckpt", "out", "splits", "autoencoder", "bundle"))
def main(config: DictConfig) -> None:
    from pathlib import Path  # here, because torch takes seconds, and --help needs none

    from face_generation.export.bundle import export_bundle, extend_bundle
    from face_generation.models import checkpoint

    splits = Path(config.splits).expanduser() if config.splits else None
    if config.bundle:
        bundle = extend_bundle(config.bundle, splits)
    else:
        model, provenance = checkpoint.load(Path(config.ckpt))
        sampling = {name: config[name] for name in ("autoencoder", "steps", "guidance") if config[name] is not None}
        if sampling:
            model.resample(**sampling)
        out = Path(config.out).expanduser()
        name = config.name or out.name
        truncation = provenance["config"].get("truncation", 1.0) if config.truncation is None else config.truncation
        bundle = export_bundle(model, out, name, provenance, splits, truncation=truncation)
    option = shlex.quote(f"bundle={bundle.folder}")
    print(f"{bundle.folder}: bundle {bundle.name}; python -m face_generation.inference {option} draws")


if __name__ == "__main__":
    main()
