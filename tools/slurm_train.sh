#!/usr/bin/env bash
# Train a config under SLURM, on any number of nodes: one torchrun per node, joined by torchrun's rendezvous.
#
#     sbatch --nodes=4 --gpus-per-node=8 tools/slurm_train.sh CONFIG [options of tools/train.py]
#
# Submit from the root of this checkout (or set SIGMA_ROOT). Site options (partition, account, time) go to sbatch.
# PROCESSES_PER_NODE defaults to the number of GPUs per node. Whenever the job starts again, the run continues from its
# newest checkpoint: SLURM requeues it after a preemption or a lost node, and this script does so before the time limit.
# The script first tells the training to save after the current step, and waits SECONDS_TO_SAVE (150) for that.
# Bad input (status 2) and a training that has to stop (status 3) end the job and are not requeued.
#SBATCH --job-name=sigma
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@180
set -u
case ${1:-} in
-h | --help)
    sed -n '2,/^#SBATCH/{/^#SBATCH/d;s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
esac
if [ "$#" -lt 1 ]; then
    echo "usage: sbatch --nodes=N --gpus-per-node=G tools/slurm_train.sh CONFIG [options of tools/train.py]" >&2
    exit 2
fi
if [ -z "${SLURM_JOB_ID:-}" ]; then
    echo "slurm_train: this is not a SLURM job; submit it with sbatch, or use tools/dist_train.sh on one machine." >&2
    exit 2
fi
root=${SIGMA_ROOT:-${SLURM_SUBMIT_DIR:-.}} # not $0: SLURM runs a copy of this file
if [ ! -f "$root/tools/launch.py" ]; then
    echo "slurm_train: found no tools/launch.py in $root; submit from the root of the checkout, or set SIGMA_ROOT." >&2
    exit 2
fi
cd "$root" || exit 2
config=$1
shift
if [ ! -f "$config" ]; then
    echo "slurm_train: config $config is not there; mmaction_configs/pretrain has the published ones." >&2
    exit 2
fi
processes=${PROCESSES_PER_NODE:-${SLURM_GPUS_ON_NODE:-1}}
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
if [ -z "$MASTER_ADDR" ]; then
    echo "slurm_train: scontrol names no host for this job ($SLURM_JOB_NODELIST)." >&2
    exit 2
fi
export MASTER_ADDR MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000)) # two jobs on one node use different ports
export NNODES=${SLURM_NNODES:-1}


told=''
step=''
tell() { # srun passes SIGUSR1 to every node, where the training saves after the current step
    told=$1
    [ -z "$step" ] || kill -USR1 "$step" 2>/dev/null
}
trap 'tell USR1' USR1 # from --signal: the time limit is near
trap 'tell TERM' TERM # a preemption, after which SLURM requeues the job, or scancel, after which it must not restart

# shellcheck disable=SC2016  # SLURM_NODEID is each node's own
srun --kill-on-bad-exit=1 --ntasks-per-node=1 bash -c 'NODE_RANK=$SLURM_NODEID exec "$@"' node \
    "${PYTHON:-python}" tools/launch.py tools/train.py "$processes" "$config" --resume "$@" &
step=$!
[ -n "$told" ] || wait "$step" # in the background, so that the script receives the signal while it runs
status=$?
[ -n "$told" ] || exit "$status"

seconds=${SECONDS_TO_SAVE:-150} # of the 180 between the signal and the limit
deadline=$((SECONDS + seconds))
while kill -0 "$step" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.5; done
if kill -0 "$step" 2>/dev/null; then
    status=''
    saved="it did not save within $seconds s and will continue from its newest checkpoint, maybe an old one"
else
    wait "$step"
    status=$?
    saved="it will continue from its newest checkpoint"
fi
case $status in
0 | 2 | 3) exit "$status" ;; # finished, or another start would not help
esac
[ "$told" = USR1 ] || exit "${status:-1}"
if ! scontrol requeue "$SLURM_JOB_ID"; then
    echo "slurm_train: job $SLURM_JOB_ID is near its time limit and cannot be requeued; submit it again." >&2
    exit 1
fi
echo "slurm_train: job $SLURM_JOB_ID is near its time limit and was requeued: $saved."
