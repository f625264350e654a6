#!/usr/bin/env bash
# Install what tests need and run them: bash tools/test.sh [arguments of pytest]
# Lint and formatting are checked first. Longer checks: bash tools/test.sh -m slow
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$root"
install_environment tests
ruff check .
ruff format --check .
exec python -m pytest "$@"
