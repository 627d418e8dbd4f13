#!/bin/bash
# One training on all GPUs of several nodes, by torchrun; what stands after the script's name are
# options of `mcx train`:
#   sbatch --nodes=2 --gpus-per-node=4 workflow/slurm/train_nodes.sh --preset paper --colorspace rgb
# Preempted or out of time, it goes on from its last state when it is started again in the same way,
# with as many processes. MCX_PYTHON, MCX_PROCESSES (of a node), MCX_HOST and MCX_PORT say otherwise
# what is found out here.
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

python=${MCX_PYTHON:-python}
processes=${MCX_PROCESSES:-${SLURM_GPUS_ON_NODE:-1}}
# All processes meet at the first node of the job; two jobs on one node get two ports.
host=${MCX_HOST:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
port=${MCX_PORT:-$((20000 + SLURM_JOB_ID % 20000))}

# exec: the signal that announces the end goes to the processes, which write their state.
exec srun --ntasks-per-node=1 --kill-on-bad-exit=1 "$python" -m torch.distributed.run \
    --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="$processes" \
    --rdzv-backend=c10d --rdzv-endpoint="$host:$port" --rdzv-id="$SLURM_JOB_ID" \
    -m mcxlib.cli train "$@"
