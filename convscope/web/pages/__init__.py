"""Pages made from contexts."""
