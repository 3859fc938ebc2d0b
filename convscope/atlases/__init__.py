"""Passes over pictures: the streaming scan, the atlas on disk, its build."""
