#!/usr/bin/env bash
# How long the example `chat` takes to compile with macros, and its twin without: from nothing, and after an edit.
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
  local start end
  start=$(date +%s.%N)
  "$@" >&2
  end=$(date +%s.%N)
  echo "$end $start" | awk '{ printf "%.2f", $1 - $2 }'
}

crate closures benches/compile/closures.rs '"server"'
crate macros examples/chat.rs '"server", "macros"'
for name in closures macros; do
  cargo fetch --manifest-path "$work/$name/Cargo.toml"
done

# By turns, so that what the machine does beside it falls on both.
for _ in $(seq "$rounds"); do
  for name in closures macros; do
    manifest=$work/$name/Cargo.toml
    rm -rf "$work/$name/target"
    seconds cargo build --manifest-path "$manifest" >>"$work/$name.clean" && echo >>"$work/$name.clean"
    for _ in 1 2 3; do
      echo "// edited" >>"$work/$name/src/main.rs"
      seconds cargo build --manifest-path "$manifest" >>"$work/$name.edit" && echo >>"$work/$name.edit"
      echo "// edited" >>"$work/$name/src/main.rs"
      seconds cargo check --manifest-path "$manifest" >>"$work/$name.check" && echo >>"$work/$name.check"
    done
  done
done

least() { sort -n "$1" | head -1; }
printf '%-28s %9s %9s %6s\n' 'seconds, the least' closures macros ratio
for kind in clean edit check; do
  case $kind in clean) what='build from nothing' ;; edit) what='build after an edit' ;; check) what='check after an edit' ;; esac
  a=$(least "$work/closures.$kind") b=$(least "$work/macros.$kind")
  printf '%-28s %9s %9s %6s\n' "$what" "$a" "$b" "$(awk "BEGIN { printf \"%.2f\", $b / $a }")"
done
