"""Drawn pictures with known concepts: canvas, objects, materials, scenes."""
