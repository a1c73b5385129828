#!/usr/bin/env bash
# The published figures of the media plane: prints one table, writes bench/results/media.json. Uses no network.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
[ -x "$python" ] || python=python3

echo "== Building the test bed"
cargo build --release --quiet -p rostra-sim --bin forward
exec "$python" bench/media.py "$@"
