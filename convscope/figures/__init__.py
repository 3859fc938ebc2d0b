"""Drawings of results with matplotlib, and schematics as SVG."""
