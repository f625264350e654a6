#!/usr/bin/env bash
# Install what the tests need, check format, lint and types, and run the quick tests:
#   bash tools/test.sh [arguments of pytest]
#   bash tools/test.sh -m integration     # end-to-end runs, each tool in its own process; .ci/run runs them too
#   bash tools/test.sh -m slow            # dozens of kills and restarts, and the quickstart
# SIGMA_TEST_PATIENCE=N multiplies every time limit (default: from the number of cores and the load).
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$root"
install_environment tests
# A selection of one's own (-m) may hold integration tests, which call programs.
if [[ " $* " == *" -m "* && "$*" != *"not integration"* ]]; then
    need_programs
fi
ruff check .
ruff format --check .
# The baseline was counted with the pins for Python 3.11 and later; those for 3.10 have other type hints.
if python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python tools/check_types.py
fi
exec python -m pytest "$@"
