#!/usr/bin/env bash
# Test trained weights with N processes: tools/dist_test.sh CONFIG CHECKPOINT N [options of tools/test.py]
# On GPUs if there are any, otherwise on the CPU with gloo.
set -u
case ${1:-} in
-h | --help)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
if [ "$#" -lt 3 ]; then
    echo "usage: tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [options of tools/test.py]" >&2
    exit 2
fi
config=$1
checkpoint=$2
processes=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
for file in "$config" "$checkpoint"; do
    if [ ! -f "$file" ]; then
        echo "dist_test: $file is not there; give the config next to a record, and the weights of its cell." >&2
        exit 2
    fi
done
exec "${PYTHON:-python}" "$here/launch.py" "$here/test.py" "$processes" "$config" "$checkpoint" "$@"
