"""Turns a checkpoint into a bundle, which is the only way from the training world into the serving world."""
