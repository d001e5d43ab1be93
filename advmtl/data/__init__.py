"""From files to batches: sources, frames whose labels may be missing, augmentation, order, cache."""
