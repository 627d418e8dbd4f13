"""A real SLURM on this machine, started in a folder of its own and stopped after.

Debian's packages slurmctld, slurmd, slurm-client and munge; nothing of the system's own SLURM is
touched: keys, sockets, ports, states and logs are this folder's. There is one node of two CPUs for
jobs, in a queue ``low`` that can be preempted and one ``high`` that preempts it, and two nodes of
one CPU each in a queue ``pair``, all on this machine, so that one job can have two nodes.

Processes are followed by SLURM's own book-keeping, not by control groups, so that it also starts
inside a container. By hand: ``python tests/slurm_cluster.py COMMAND ...`` runs a command in it;
status 77 says that SLURM cannot run here.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol", "squeue", "scancel")
PACKAGES = "munge slurmctld slurmd slurm-client"
NODES = {"mcx0": 2, "mcx1": 1, "mcx2": 1}
"""Node -> CPUs that SLURM is told it has."""
START_SECONDS = 60
SKIPPED = 77
"""Exit status where SLURM cannot run."""

CONFIG = """
ClusterName=mcx
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CryptoType=crypto/munge
# A job that was requeued may start again as soon as its credential has run out.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=20
MinJobAge=3600
ReturnToService=2
InactiveLimit=0
{nodes}
PartitionName=low Nodes=mcx0 Default=YES MaxTime=UNLIMITED State=UP PriorityTier=1
PartitionName=high Nodes=mcx0 MaxTime=UNLIMITED State=UP PriorityTier=2 PreemptMode=OFF
PartitionName=pair Nodes=mcx[1-2] MaxTime=UNLIMITED State=UP PriorityTier=1 PreemptMode=OFF
"""


class NoSlurm(RuntimeError):
    """SLURM cannot run here; the message says what is missing or what it said."""


def missing() -> list[str]:
    """Programs of SLURM's that are not installed."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return [name for name in PROGRAMS if shutil.which(name, path=places) is None]


@contextmanager
def cluster() -> Iterator[dict[str, str]]:
    """Start it, give the variables that point SLURM's commands to it, stop it.

    Raises:
        NoSlurm: not installed, or it did not start; with the ends of its logs.
    """
    if lacking := missing():
        raise NoSlurm(f"not installed: {', '.join(lacking)}; on Debian: apt-get install {PACKAGES}")
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # munged insists that everybody can reach its socket
        _write(folder)
        environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        places = [str(folder / "bin"), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
        environment["PATH"] = os.pathsep.join(places)
        for command in _daemons(folder):
            stack.enter_context(_running(command, folder, environment))
            if command[0] == "munged":
                _wait(lambda: (folder / "munge.socket").exists(), folder, "munged")
        _wait(lambda: _idle(environment) == len(NODES), folder, "the nodes")
        yield {key: environment[key] for key in ("SLURM_CONF", "PATH")}
        subprocess.run(["scancel", "--quiet", "--partition=low"], env=environment, check=False)


def _write(folder: Path) -> None:
    (folder / "state").mkdir()
    # Snakemake's executor hands its inner srun no SLURM_CONF: it gets it here.
    wrapped = folder / "bin/srun"
    wrapped.parent.mkdir()
    real = shutil.which("srun")
    wrapped.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {real} "$@"\n')
    wrapped.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    host = socket.gethostname().partition(".")[0]
    ports = _free_ports(1 + len(NODES))
    nodes = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} "
        f"RealMemory=64000 State=UNKNOWN"
        for (node, cpus), port in zip(NODES.items(), ports[1:], strict=True)
    ]
    user = pwd.getpwuid(os.getuid()).pw_name
    text = CONFIG.format(host=host, port=ports[0], user=user, folder=folder, nodes="\n".join(nodes))
    (folder / "slurm.conf").write_text(text)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _daemons(folder: Path) -> list[list[str]]:
    named = [
        f"--{what}={folder}/munge.{end}"
        for what, end in (
            ("socket", "socket"),
            ("key-file", "key"),
            ("log-file", "log"),
            ("pid-file", "pid"),
            ("seed-file", "seed"),
        )
    ]
    return [
        ["munged", "--foreground", "--force", *named],
        ["slurmctld", "-D"],
        *(["slurmd", "-D", "-N", node] for node in NODES),
    ]


@contextmanager
def _running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    name = command[0] if command[0] != "slurmd" else f"slurmd-{command[-1]}"
    with open(folder / f"{name}.out", "wb") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _idle(environment: dict[str, str]) -> int:
    """How many nodes wait for work."""
    said = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%N %t"],
        env=environment,
        capture_output=True,
        text=True,
    ).stdout
    return len({line for line in said.splitlines() if line.endswith(" idle")})


def _wait(ready: Callable[[], bool], folder: Path, what: str) -> None:
    end = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > end:
            logs = [f for f in sorted(folder.iterdir()) if f.suffix in (".log", ".out")]
            ends = "\n".join(f"{f.name}: {f.read_text(errors='replace')[-600:]}" for f in logs)
            raise NoSlurm(f"SLURM does not start: {what} did not answer.\n{ends}")
        time.sleep(0.2)


if __name__ == "__main__":
    try:
        with cluster() as variables:
            code = subprocess.run(sys.argv[1:], env=os.environ | variables).returncode
    except NoSlurm as error:
        print(error, file=sys.stderr)
        code = SKIPPED
    sys.exit(code)
