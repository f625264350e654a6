#!/usr/bin/env bash
# Install what tests need and run them: bash tools/test.sh [arguments of pytest]
# Lint and formatting are checked first. Longer checks: bash tools/test.sh -m slow
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$root"
install_environment tests
ruff check .
ruff format --check .
# A process a core, each with a file of tests at a time, and each with one thread.
cores=$(python -c 'import os; print(min(8, len(os.sched_getaffinity(0))))')
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec python -m pytest -n "$cores" --dist loadfile "$@"
