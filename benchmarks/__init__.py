"""Measurements of speed and storage: ``python -m benchmarks --help``."""

import os

# Else torch's profiler writes lines to standard error whenever it starts; read when torch is
# imported.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")
