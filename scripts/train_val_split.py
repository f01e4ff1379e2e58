"""Packs faces into the arrays that training reads: train.npy, val.npy and test.npy, square RGB, each with a table.

CelebA, all or part of it, in any layout:
    python scripts/train_val_split.py data splits
    python scripts/train_val_split.py archive.zip splits --size 64

Your own photos, in a folder with any subfolders, or in an archive:
    python scripts/train_val_split.py ~/Pictures/faces splits --licence "mine, for private use"

Your own photos with faces anywhere in them, which are aligned like CelebA's:
    python scripts/train_val_split.py ~/Pictures splits --align

Check that splits have not changed since they were packed:
    python scripts/train_val_split.py --verify splits

Each image is turned upright and converted to sRGB, and the square in its middle is resized. The first of these that
exists decides the split: a table (list_eval_partition.txt or .csv), folders called train, val and test, and the numbers
of CelebA's images. If there is none, chance decides, and the same seed always gives the same split. Attributes come
from list_attr_celeba.txt or .csv. Both tables are looked for in the source and in the two folders above it. Damaged
images are left out and listed. An interrupted run continues where it stopped.
"""

import argparse
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from face_generation.data.packing import IMAGE_SIZE, pack
from face_generation.data.summary import Summary, check
from face_generation.errors import exit_on_user_error, printable

LISTED = 20  # how many damaged images are listed; summary.json has all


class Verify(argparse.Action):
    """Compares packed splits with their checksums, and exits."""

    def __call__(self, parser: argparse.ArgumentParser, options: Any, folder: Any, option: str | None = None) -> None:
        check(folder, whole=True)
        print(f"{folder}: nothing has changed since it was packed")
        parser.exit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="CelebA's folder or archive, or a folder or archive of photos")
    parser.add_argument("destination", type=Path, help="the folder to make")
    parser.add_argument("--size", type=int, default=IMAGE_SIZE, help="pixels, even, 32 to 512 (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of a split by chance (default %(default)s)")
    parser.add_argument("--val", type=float, default=0.1, help="share for validation, by chance only (default 0.1)")
    parser.add_argument("--test", type=float, default=0.1, help="share for test, by chance only (default 0.1)")
    parser.add_argument("--description", metavar="TEXT", help="what the images are, for cards of models")
    parser.add_argument("--licence", metavar="TEXT", help="terms of use of the images and of models trained on them")
    parser.add_argument(
        "--align",
        nargs="?",
        const="largest",
        choices=("largest", "all"),
        help="cut out and align the largest face of each image, or all faces; otherwise the centred square is taken",
    )
    parser.add_argument("--threads", type=int, help="threads that decode images (default: one for each core, up to 16)")
    parser.add_argument("--verify", metavar="FOLDER", type=Path, action=Verify, help="check packed splits instead")
    options = vars(parser.parse_args())
    del options["verify"]

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may know fewer letters than names have
    summary, fresh = pack(**options)
    if not fresh:
        print("nothing to do, because these are already packed:")
    report(summary, options["destination"])


def report(summary: Summary, folder: Path) -> None:
    """Prints what was packed, how it was split, and what was left out."""
    counts = ", ".join(f"{split} {count:,}" for split, count in summary.counts.items())
    say(f"{folder}: packed {counts} at {summary.image_size}×{summary.image_size}")
    say(f"split by {summary.split_by}; attributes from {summary.attributes_from}")
    remedy = (
        " (say what with --description and --licence)" if "unknown" in (summary.description, summary.licence) else ""
    )
    say(f"images: {summary.description}; licence: {summary.licence}{remedy}")
    if summary.passed_over:
        print(f"passed over {sum(seen.count for seen in summary.passed_over.values()):,} other files:")
        for kind, seen in summary.passed_over.items():
            say(f"  {seen.count:,} {kind}: {', '.join(seen.examples)}{', …' * (seen.count > len(seen.examples))}")
    if summary.faceless:
        names = ", ".join(summary.faceless[:LISTED]) + ", …" * (len(summary.faceless) > LISTED)
        say(f"left out {len(summary.faceless):,} without a face: {names}")
    if summary.damaged:
        print(f"left out {len(summary.damaged):,} damaged:")
        for name, reason in list(summary.damaged.items())[:LISTED]:
            say(f"  {name}: {reason}")
        if len(summary.damaged) > LISTED:
            print(f"  and {len(summary.damaged) - LISTED:,} more: see {folder / 'summary.json'}")


def say(line: str) -> None:
    """Prints a line with control characters escaped, because names may come from anybody's archive."""
    print(printable(line))


if __name__ == "__main__":
    with exit_on_user_error():
        main()
