"""Measures models against real faces and writes a report."""
