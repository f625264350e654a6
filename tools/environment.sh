# Sourced by the other scripts: creates .venv, installs the pins, and puts .venv first on the path.
#   install_environment runtime|tests
#   need_programs
set -euo pipefail
export PIP_REQUIRE_VIRTUALENV=1 PIP_DISABLE_PIP_VERSION_CHECK=1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

find_python() {
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.10 python3 python; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'; then
            echo "$candidate"
            return
        fi
    done
    echo "environment: found no Python 3.10 to 3.12; install one, or name it with PYTHON=..." >&2
    return 2
}

# The OpenCV wheel that the mm packages require links two libraries that slim images lack.
need_libraries() {
    if ! "$root/.venv/bin/python" -c 'import cv2' 2>/dev/null; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq && apt-get install -y -qq libgl1 libglib2.0-0 >/dev/null
        fi
        "$root/.venv/bin/python" -c 'import cv2' || {
            echo "environment: OpenCV does not load; install the packages libgl1 and libglib2.0-0" >&2
            return 2
        }
    fi
}

# Programs that some integration tests call. Where one is missing and cannot be installed, those tests skip themselves.
need_programs() {
    local packages=()
    command -v pdflatex >/dev/null || packages+=(texlive-latex-base texlive-latex-recommended) # compiles tables
    # a browser opens the page of tools/report.py
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || packages+=(chromium)
    command -v slurmctld >/dev/null && command -v munged >/dev/null || packages+=(slurm-wlm munge) # a real scheduler
    [ "${#packages[@]}" -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
    echo "installing ${packages[*]} ..."
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >/dev/null ||
        echo "environment: ${packages[*]} could not be installed; tests that need them are skipped" >&2
}

# Installs only when the pins changed: a mark file holds the hash of those that were installed.
install_environment() {
    local kind=$1 python mark wanted
    mark="$root/.venv/installed-$kind"
    wanted=$(cat "$root"/requirements/*.txt "$root/setup.py" | sha256sum)
    if [ -x "$root/.venv/bin/python" ] && [ "$(cat "$mark" 2>/dev/null)" = "$wanted" ]; then
        export PATH="$root/.venv/bin:$PATH"
        return
    fi
    python=$(find_python)
    [ -x "$root/.venv/bin/python" ] || "$python" -m venv "$root/.venv"
    echo "installing the pins of requirements/ into .venv (a minute or two) ..."
    local files=(-r "$root/requirements/runtime.txt")
    if [ "$kind" = tests ]; then
        for extra in optional docs tests; do files+=(-r "$root/requirements/$extra.txt"); done
    fi
    "$root/.venv/bin/python" -m pip install --quiet "${files[@]}" 2> >(grep -v "^WARNING: Location" >&2)
    "$root/.venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e "$root" 2> >(grep -v "^WARNING: Location" >&2)
    need_libraries
    echo "$wanted" >"$mark"
    [ "$kind" = tests ] && echo "$wanted" >"$root/.venv/installed-runtime"
    export PATH="$root/.venv/bin:$PATH"
}
