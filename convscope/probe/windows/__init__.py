"""A traced graph evaluated on moving windows: cones, changed boxes, incremental inference, occluder grids."""
