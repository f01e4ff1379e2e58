"""Everything about data sets: CelebA's files, people's own photos, packed splits, and batches of them."""
