#!/usr/bin/env bash
# Fuzz what HTTP and signalling bring, SECONDS_EACH seconds (default 60) for each target, or for the one that is named: sdp, sdpfrag.
# Exit code 1 on a finding, whose input is printed. PYTHON: another interpreter than that of .venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python=${PYTHON:-.venv/bin/python}
$python -c 'import atheris' 2>/dev/null || {
  echo "installing atheris"
  $python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/fuzz/requirements.txt
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
found=0
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(sdp sdpfrag)
for target in "${targets[@]}"; do
  mkdir "$work/$target"
  cp tests/data/offers/* "$work/$target/"
  [[ $target != sdpfrag ]] || cp tests/data/fragments/* "$work/$target/"
  if $python "tests/fuzz/$target.py" "$work/$target" -max_total_time="${SECONDS_EACH:-60}" -max_len=65536 -timeout=10 \
      -artifact_prefix="$work/" >"$work/log" 2>&1; then
    printf '%-12s nothing found   %s\n' "$target" "$(grep -E 'Done|DONE' "$work/log" | tail -1)"
  else
    printf '%-12s FOUND SOMETHING\n' "$target"
    tail -40 "$work/log"
    found=1
  fi
done
exit "$found"
