"""Files and folders that are complete or absent: atomic writes, scratch folders, the cache, result folders."""
