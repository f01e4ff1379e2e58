"""Train, measure and serve generators of faces."""

__version__ = "0.1.0"
