"""Pictures from anywhere: sources, preprocessing, splits, overlap, concepts."""
