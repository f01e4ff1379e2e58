"""Finds directions of edits in latent space and measures what they change. `generator/` applies them."""
