"""Networks tied to their transform: the catalogue, ZFNet and its variants, weight files."""
