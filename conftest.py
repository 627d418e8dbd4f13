"""For every way of starting pytest: the notebooks run with the small preset, their own way of
talking to kernels cannot collide between workers, and one torch thread serves each worker."""

import os

os.environ.setdefault("MCX_PRESET", "test")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config):
    # Kernels that start at the same moment in two workers can be given the same TCP port.
    # Sockets in the file system, named after the process, cannot collide.
    from jupyter_client.connect import ConnectionFileMixin

    ConnectionFileMixin.transport.default_value = "ipc"
