"""Draws faces on the command line."""
