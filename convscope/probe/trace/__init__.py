"""A network as a graph of operations: unit addresses, the traced graph, receptive fields, recorded outputs."""
