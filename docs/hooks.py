"""Lets mkdocs show what guides link to outside of docs/, so that a link is right on GitHub and on the site.

The README becomes the first page. Other files of the repository that pages link to are found under `repository/`.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

DOCS = Path(__file__).parent
ROOT = DOCS.parent
ELSEWHERE = "repository"  # folder of the site for files outside of docs/
STARTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
LINK = re.compile(r"\[([^\[\]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files outside of docs/ that can be reached by links."""
    ahead, seen = [*STARTS, *DOCS.glob("*.md")], set()
    while ahead:
        path = ahead.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        if path.suffix == ".md":
            ahead += [(path.parent / target).resolve() for _, target, _ in LINK.findall(path.read_text("utf-8"))]
        if not path.is_relative_to(DOCS):
            files.append(File.generated(config, place(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lets links lead to the places of files on the site. Links to folders become text."""
    here = Path(str(page.file.abs_src_path)).parent

    def moved(link: re.Match[str]) -> str:
        text, target, anchor = link.groups()
        path = (here / target).resolve()
        if path.is_dir():
            return text
        return f"[{text}]({get_relative_url(place(path), page.file.src_uri)}{anchor or ''})"

    return LINK.sub(moved, markdown)


def place(path: Path) -> str:
    """Where the site has a file of the repository."""
    if path == ROOT / "README.md":
        return "index.md"
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return f"{ELSEWHERE}/{path.relative_to(ROOT).as_posix()}"
