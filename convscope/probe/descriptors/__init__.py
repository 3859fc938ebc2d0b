"""Descriptors that are no network's: HOG and its differentiable form."""
