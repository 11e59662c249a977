#!/bin/sh
# Make .venv, or bring it up to date, from the lock files with hashes.
#
#   venv.sh PYTHON run|dev
#
# run: what `make up` needs. dev: the tests' and linters' packages beside it. Exit code 1: standard error says what to do.
set -eu
python=$1
kind=$2
cd "$(dirname "$0")/.."

fail() {
    echo "$1" >&2
    exit 1
}

if ! command -v "$python" >/dev/null; then
    fail "$python: not found. hostwatch needs Python 3.11 to 3.13: install one, or name it: make PYTHON=/path/to/python3.12"
fi
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in
    3.11 | 3.12 | 3.13) ;;
    *) fail "$python is Python $version; hostwatch needs 3.11 to 3.13. Name one: make PYTHON=/path/to/python3.12" ;;
esac

# a .venv of another Python, or one that was moved with its folder, is of no use
if [ -e .venv ]; then
    made=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.prefix)' 2>/dev/null || true)
    [ "$made" = "$version $(pwd -P)/.venv" ] || rm -rf .venv
fi
if [ ! -e .venv ]; then
    # Debian keeps ensurepip in a package of its own
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        sh stack/apt.sh "$(basename "$("$python" -c 'import sys; print(sys.executable)')")-venv" ||
            sh stack/apt.sh python3-venv ||
            fail "$python cannot make virtual environments: its ensurepip is missing"
    fi
    echo "Making .venv with Python $version" >&2
    "$python" -m venv .venv
fi

echo "Installing what requirements/$kind.txt lists" >&2
set -- .venv/bin/python -m pip --disable-pip-version-check -qq --no-input install
"$@" --require-hashes -r "requirements/$kind.txt"
# hatchling is in the lock: nothing is fetched here
"$@" --no-deps --no-build-isolation -e .
