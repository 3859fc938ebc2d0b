"""Methods on plain modules and tensors: tracing, geometry, rectification rules, projection, incremental inference."""
