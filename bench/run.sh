#!/usr/bin/env bash
# The published figures of the media plane and of the way from encoder to browser: prints three tables, writes
# bench/results/{media,voices,delay}.json. Traffic stays on the loopback.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
[ -x "$python" ] || python=python3

echo "== Building the test bed"
cargo build --release --quiet -p rostra-sim --bin forward --bin voices
"$python" bench/media.py "$@"
"$python" bench/voices.py
exec "$python" bench/delay.py
