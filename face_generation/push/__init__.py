"""Bundles, published on the Hugging Face Hub."""
