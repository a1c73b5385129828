#!/usr/bin/env bash
# Fuzz the SDP parser and negotiation for SECONDS_EACH seconds (default 60). Exit code 1 on a finding, whose input is printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python=.venv/bin/python
$python -c 'import atheris' 2>/dev/null || {
  echo "installing atheris"
  $python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/fuzz/requirements.txt
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/corpus"
cp tests/data/offers/* "$work/corpus/"
if $python tests/fuzz/sdp.py "$work/corpus" -max_total_time="${SECONDS_EACH:-60}" -max_len=65536 -timeout=10 \
    -artifact_prefix="$work/" >"$work/log" 2>&1; then
  printf '%-12s nothing found   %s\n' sdp "$(grep -E 'Done|DONE' "$work/log" | tail -1)"
else
  printf '%-12s FOUND SOMETHING\n' sdp
  tail -40 "$work/log"
  exit 1
fi
