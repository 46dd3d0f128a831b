#!/usr/bin/env bash
# Tries the orders in which threads may meet in a room with history: src/history/model.rs.
# Usage: tests/model.sh [ARGUMENTS OF THE TEST RUNNER]
set -euo pipefail
cd "$(dirname "$0")/.."

# `cfg(model)` for this crate alone: what it depends on is built as always.
program=$(cargo rustc --lib --profile test --all-features --message-format=json-render-diagnostics -- --cfg model |
  python3 -c 'import json, sys
for line in sys.stdin:
    told = json.loads(line)
    if told.get("executable") and told["target"]["name"] == "eventwire":
        print(told["executable"])')
"$program" history::model "$@"
