#!/usr/bin/env bash
# Fuzz every target, or those that are named, for SECONDS_EACH seconds each (default 60). A line per target; the exit status tells of
# findings, whose inputs stay in rust/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${SECONDS_EACH:-60}
# libFuzzer needs flags that only nightly compilers take; this variable lets the pinned one take them.
export RUSTC_BOOTSTRAP=1

if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "installing cargo-fuzz"
  cargo install cargo-fuzz --locked --quiet
fi

if [ $# -gt 0 ]; then
  targets=("$@")
else
  mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | grep -v '^rostra-fuzz$')
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

echo "building (minutes, the first time)"
if ! cargo fuzz build --fuzz-dir . >"$log" 2>&1; then
  cat "$log"
  exit 1
fi

status=0
for target in "${targets[@]}"; do
  if cargo fuzz run --fuzz-dir . "$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 >"$log" 2>&1; then
    printf '%-12s nothing found   %s\n' "$target" "$(grep -E '^Done|^#[0-9]+.*DONE' "$log" | tail -1)"
  else
    printf '%-12s FOUND SOMETHING\n' "$target"
    tail -40 "$log"
    status=1
  fi
done
exit $status
