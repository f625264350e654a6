#!/usr/bin/env bash
# Train a config under SLURM, on any number of nodes; one torchrun a node, joined by torchrun's rendezvous:
#
#     sbatch --nodes=4 --gpus-per-node=8 tools/slurm_train.sh CONFIG [options of tools/train.py]
#
# Submit from the root of this checkout (or set SIGMA_ROOT). Options of the site (partition, account, time) go to
# sbatch. PROCESSES_PER_NODE is the number of GPUs a node unless set. The run goes on from its newest checkpoint
# whenever the job starts again: after a preemption or a lost node SLURM requeues it; before its time is over, this
# script does. The training is told first and saves after the step that it is in; SECONDS_TO_SAVE (150) is what the
# script waits for that. Bad input (status 2) and a training that has to stop (status 3) end the job and are not requeued.
#SBATCH --job-name=sigma
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@180
set -u
if [ "$#" -lt 1 ]; then
    echo "usage: sbatch --nodes=N --gpus-per-node=G tools/slurm_train.sh CONFIG [options of tools/train.py]" >&2
    exit 2
fi
if [ -z "${SLURM_JOB_ID:-}" ]; then
    echo "slurm_train: this is no SLURM job; submit it with sbatch, or use tools/dist_train.sh on one machine." >&2
    exit 2
fi
root=${SIGMA_ROOT:-${SLURM_SUBMIT_DIR:-.}} # not $0: SLURM runs a copy of this file
if [ ! -f "$root/tools/launch.py" ]; then
    echo "slurm_train: $root holds no tools/launch.py; submit from the root of the checkout, or set SIGMA_ROOT." >&2
    exit 2
fi
cd "$root" || exit 2
config=$1
shift
if [ ! -f "$config" ]; then
    echo "slurm_train: config $config is not there; see mmaction_configs/pretrain for those that ship." >&2
    exit 2
fi
processes=${PROCESSES_PER_NODE:-${SLURM_GPUS_ON_NODE:-1}}
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
if [ -z "$MASTER_ADDR" ]; then
    echo "slurm_train: scontrol names no host of this job ($SLURM_JOB_NODELIST)." >&2
    exit 2
fi
export MASTER_ADDR MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000)) # two jobs on one node do not meet
export NNODES=${SLURM_NNODES:-1}


told=''
step=''
tell() { # srun hands SIGUSR1 on to every node, where the training saves after the step that it is in
    told=$1
    [ -z "$step" ] || kill -USR1 "$step" 2>/dev/null
}
trap 'tell USR1' USR1 # of --signal: the time is nearly over
trap 'tell TERM' TERM # a preemption, after which SLURM requeues by itself, or scancel, after which nobody should

# shellcheck disable=SC2016  # SLURM_NODEID is each node's own
srun --kill-on-bad-exit=1 --ntasks-per-node=1 bash -c 'NODE_RANK=$SLURM_NODEID exec "$@"' node \
    "${PYTHON:-python}" tools/launch.py tools/train.py "$processes" "$config" --resume "$@" &
step=$!
[ -n "$told" ] || wait "$step" # in the background, so that the signal is heard while it runs
status=$?
[ -n "$told" ] || exit "$status"

seconds=${SECONDS_TO_SAVE:-150} # of the 180 that are left
deadline=$((SECONDS + seconds))
while kill -0 "$step" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.5; done
if kill -0 "$step" 2>/dev/null; then
    status=''
    saved="it did not end within $seconds s and goes on from its newest checkpoint, maybe an old one"
else
    wait "$step"
    status=$?
    saved="it goes on from its newest checkpoint"
fi
case $status in
0 | 2 | 3) exit "$status" ;; # complete, or not to be helped by another start
esac
[ "$told" = USR1 ] || exit "${status:-1}"
if ! scontrol requeue "$SLURM_JOB_ID"; then
    echo "slurm_train: the time of job $SLURM_JOB_ID is nearly over and it cannot be requeued; submit it again." >&2
    exit 1
fi
echo "slurm_train: the time of job $SLURM_JOB_ID is nearly over; it is requeued: $saved."
