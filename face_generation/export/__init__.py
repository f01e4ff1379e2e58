"""From a checkpoint to a bundle: the one way from the training world into the serving world."""
