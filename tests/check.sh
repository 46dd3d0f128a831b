#!/usr/bin/env bash
# The one test command: sets up what the tests need, then checks everything that a change must keep.
# Usage: tests/check.sh [--quick]     (--quick: without set-up, features and documents)
set -euo pipefail
cd "$(dirname "$0")/.."

quick=false
[ "${1:-}" = "--quick" ] && quick=true
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
# Debug information is most of what is written and linked, and no test looks at it.
export CARGO_PROFILE_DEV_DEBUG="${CARGO_PROFILE_DEV_DEBUG:-line-tables-only}"

step() {
  printf '\n== %s\n' "$*"
  "$@"
}

if ! $quick; then
  step tests/setup.sh
fi
step cargo fmt --all --check
step cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings
if ! $quick; then
  RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps --all-features --quiet
  # Every feature alone, and none.
  for features in "" server macros process axum validate nats; do
    step cargo clippy --lib --no-default-features --features "$features" --quiet -- -D warnings
  done
  step cargo test --doc --workspace --all-features --quiet
  step tests/model.sh --quiet
fi
# Ten thousand connections are ten thousand descriptors.
ulimit -n "$(ulimit -Hn)" || true
# The tests run the examples as they are.
step cargo build --all-features --examples --quiet
step cargo test --all-features --lib --tests --no-fail-fast
