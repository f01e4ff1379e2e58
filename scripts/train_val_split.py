"""Packs faces into the arrays that training reads: train.npy, val.npy and test.npy, 150×150 RGB, with a table each.

CelebA, whole or a part of it, as scripts/download_data.py left it:
    python scripts/train_val_split.py data splits

Your own photos, in a folder with any subfolders, or in a zip:
    python scripts/train_val_split.py ~/Pictures/faces splits --val 0.1 --test 0.1
    python scripts/train_val_split.py faces.zip splits

Each image is turned upright, and its centred square is resized to 150×150. CelebA's images go where
list_eval_partition.txt says, if it lies in the folder or beside the zip, else where their numbers say. All other
images are split by chance: the same seed always gives the same split. Attributes come from list_attr_celeba.txt, if
it is there. A damaged image is left out and listed. A run that was stopped goes on where it was.
"""

import argparse
from pathlib import Path

from face_generation.data.packing import pack
from face_generation.errors import exit_on_user_error

LISTED = 20  # damaged images; summary.json has all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the folder with img_align_celeba.zip, a zip, or a folder of photos")
    parser.add_argument("destination", type=Path, help="the folder to make")
    parser.add_argument("--seed", type=int, default=0, help="of the split by chance (default 0)")
    parser.add_argument("--val", type=float, default=0.1, help="share for validation, by chance only (default 0.1)")
    parser.add_argument("--test", type=float, default=0.1, help="share for test, by chance only (default 0.1)")
    parser.add_argument("--threads", type=int, help="how many decode images (default: one for each core, up to 16)")
    options = parser.parse_args()

    summary, fresh = pack(**vars(options))
    counts = ", ".join(f"{split} {count:,}" for split, count in summary.counts.items())
    what = "packed" if fresh else "nothing to do, these are packed already:"
    print(f"{options.destination}: {what} {counts}; split by {summary.split_by}")
    if summary.damaged:
        print(f"left out {len(summary.damaged):,} damaged:")
    for name, reason in list(summary.damaged.items())[:LISTED]:
        print(f"  {name}: {reason}")
    if len(summary.damaged) > LISTED:
        print(f"  and {len(summary.damaged) - LISTED:,} more: see {options.destination / 'summary.json'}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
