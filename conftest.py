"""For every way of starting pytest: the notebooks run with the small preset, and one torch thread
serves each worker."""

import os

os.environ.setdefault("MCX_PRESET", "test")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collectstart(collector):
    """A drawn figure is no text to compare: its coordinates differ between machines."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("image/svg+xml",)
