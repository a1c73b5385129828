#!/usr/bin/env bash
# The published figures of the media plane: prints two tables, writes bench/results/{media,voices}.json. Uses no network.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
[ -x "$python" ] || python=python3

echo "== Building the test bed"
cargo build --release --quiet -p rostra-sim --bin forward --bin voices
"$python" bench/media.py "$@"
exec "$python" bench/voices.py
