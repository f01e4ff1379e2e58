"""Faces over HTTP: the API, the page, and what operating them needs."""
