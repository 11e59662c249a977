#!/bin/bash
# Run the whole suite with full counts; keep what it says once it has passed: soak.sh FILE
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
new=$(mktemp)
trap 'rm -f "$new"' EXIT
{
    echo "make soak, $(date -u +%Y-%m-%d), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown), $(uname -sr), $(nproc) cores"
    HOSTWATCH_SOAK=1 .venv/bin/python -m pytest --durations=25 tests prometheus/tests
} 2>&1 | tee "$new"
mkdir -p "$(dirname "$out")"
cp "$new" "$out"
