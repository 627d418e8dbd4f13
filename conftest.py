"""For every way of starting pytest: the notebooks run with the small preset, and one torch thread
serves each worker."""

import os

os.environ.setdefault("MCX_PRESET", "test")
os.environ.setdefault("OMP_NUM_THREADS", "1")
