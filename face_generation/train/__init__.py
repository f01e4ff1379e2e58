"""From a configuration to a trained model: the run, its folder, its loggers, and what happens around its steps."""
