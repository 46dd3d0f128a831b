#!/usr/bin/env bash
# What the example `chat` costs to compile with macros, and its twin without: from nothing, and after an edit of a handler. Seconds of
# CPU time, user and system, of all that cargo runs.
# Usage: benches/compile.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD rounds=${1:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CARGO_TERM_QUIET=true
unset CARGO_TARGET_DIR

crate() { # NAME SOURCE FEATURES
  mkdir -p "$work/$1/src"
  cp "$2" "$work/$1/src/main.rs"
  sed -i "s#include_str!(\"[^\"]*\")#include_str!(\"$root/examples/chat.html\")#" "$work/$1/src/main.rs"
  cat >"$work/$1/Cargo.toml" <<TOML
[package]
name = "$1"
version = "0.0.0"
edition = "2024"

[dependencies]
axum = { version = "0.8.9", default-features = false, features = ["tokio", "http1"] }
eventwire = { path = "$root", default-features = false, features = [$3] }
serde = { version = "1", features = ["derive"] }
tokio = { version = "1", features = ["full"] }

[workspace]
TOML
  # The same versions for both, and those that the project was tested with.
  cp Cargo.lock "$work/$1/Cargo.lock"
}

seconds() { # COMMAND…
  local TIMEFORMAT='%U %S'
  { time "$@" >/dev/null 2>"$work/log"; } 2>&1 | awk '{ printf "%.2f\n", $1 + $2 }'
}

# A handler does something else than before.
edit() { # NAME ROUND
  sed -i -E "s/name\.chars\(\)\.count\(\) > [0-9]+/name.chars().count() > $2/" "$work/$1/src/main.rs"
  grep -q "count() > $2" "$work/$1/src/main.rs"
}

crate closures benches/compile/closures.rs '"server"'
crate macros examples/chat.rs '"server", "macros"'
for name in closures macros; do
  cargo fetch --manifest-path "$work/$name/Cargo.toml"
done

# By turns, so that what the machine does beside it falls on both.
edits=30
for _ in $(seq "$rounds"); do
  for name in closures macros; do
    rm -rf "$work/$name/target"
    seconds cargo build --manifest-path "$work/$name/Cargo.toml" >>"$work/$name.clean"
  done
  for _ in 1 2 3 4 5; do
    for name in closures macros; do
      edit "$name" $((edits += 1))
      seconds cargo build --manifest-path "$work/$name/Cargo.toml" >>"$work/$name.edit"
      edit "$name" $((edits += 1))
      seconds cargo check --manifest-path "$work/$name/Cargo.toml" >>"$work/$name.check"
    done
  done
done

least() { sort -n "$1" | head -1; }
printf '%-28s %9s %9s %6s\n' 'seconds of CPU, the least' closures macros ratio
for kind in clean edit check; do
  case $kind in clean) what='build from nothing' ;; edit) what='build after an edit' ;; check) what='check after an edit' ;; esac
  a=$(least "$work/closures.$kind") b=$(least "$work/macros.$kind")
  printf '%-28s %9s %9s %6s\n' "$what" "$a" "$b" "$(awk "BEGIN { printf \"%.2f\", $b / $a }")"
done
