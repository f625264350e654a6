#!/usr/bin/env bash
# Train a config with N processes: tools/dist_train.sh CONFIG N [options of tools/train.py]
# On GPUs if there are any, otherwise on the CPU with gloo.
set -u
case ${1:-} in
-h | --help)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exec "${PYTHON:-python}" "$(dirname "$0")/train.py" --help
    ;;
esac
if [ "$#" -lt 2 ]; then
    echo "usage: tools/dist_train.sh CONFIG NUM_PROCESSES [options of tools/train.py]" >&2
    exit 2
fi
config=$1
processes=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
if [ ! -f "$config" ]; then
    echo "dist_train: config $config is not there; mmaction_configs/pretrain has the published ones." >&2
    exit 2
fi
exec "${PYTHON:-python}" "$here/launch.py" "$here/train.py" "$processes" "$config" "$@"
