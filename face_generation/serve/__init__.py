"""Serves faces over HTTP: the API, the page, and what operators need."""
