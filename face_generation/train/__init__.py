"""Trains a model from a configuration: the run, its folder, its loggers, and callbacks around its steps."""
