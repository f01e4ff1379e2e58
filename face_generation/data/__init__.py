"""Where faces come from: CelebA's own files, packed splits, and batches of them."""
