"""SVG charts, tiles and sprite sheets."""
