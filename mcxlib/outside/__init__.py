"""Anybody's detector: its scores, or the file that makes them, through the same evaluation."""
