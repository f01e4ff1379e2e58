"""Downloads the official CelebA files: img_align_celeba.zip (1.4 GB), list_eval_partition.txt, list_attr_celeba.txt.

The zip comes from Dropbox or, if that fails, from Google Drive, as the tables do. An interrupted download is continued,
sizes and MD5 are checked, and a file that is already there is not downloaded again. CelebA is for non-commercial
research only.

Examples:
  python scripts/download_data.py data
  python scripts/download_data.py data --mirror https://files.example.org/celeba
"""

import argparse
from pathlib import Path

from face_generation.data.download import download_all
from face_generation.errors import exit_on_user_error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to put the files, such as data")
    parser.add_argument("--mirror", metavar="URL", help="address of a folder with the three files, to use alone")
    parser.add_argument(
        "--keep-existing",
        action="store_true",
        help="accept files that are already there without a check, such as a smaller archive of your own",
    )
    args = parser.parse_args()
    with exit_on_user_error():
        download_all(args.folder, mirror=args.mirror, keep_existing=args.keep_existing)


if __name__ == "__main__":
    main()
