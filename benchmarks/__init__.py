"""Measurements of speed and storage: ``python -m benchmarks --help``."""
