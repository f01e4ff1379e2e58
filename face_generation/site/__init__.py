"""Writes the page as a folder of files, which draws without a server: `write_site(Path("site"), ["vae"])`."""

from face_generation.site.folder import write_site

__all__ = ["write_site"]
