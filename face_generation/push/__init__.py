"""Publishes bundles on the Hugging Face Hub."""
