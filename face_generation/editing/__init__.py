"""Edits of faces: directions in latent space are found, and what they change is measured. `generator/` applies them."""
