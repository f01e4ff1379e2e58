"""Middleware, which every request passes on its way to the app."""
