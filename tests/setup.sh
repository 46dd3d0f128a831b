#!/usr/bin/env bash
# Installs what the tests need beside Rust: Python and Node with their WebSocket libraries, Chromium, and two servers of NATS.
# For Debian. Run again, it looks and does nothing; it fails where something cannot be had.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
trap 'echo "setup: failed at line $LINENO" >&2' ERR

say() { printf 'setup: %s\n' "$*"; }

# Debian's packages, where a program is missing.
missing=()
[ -x /usr/bin/chromium ] || missing+=(chromium)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v python3 >/dev/null || missing+=(python3)
# Without `ensurepip` there is a module `venv` that makes no environment.
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
[ -x /usr/sbin/nats-server ] || missing+=(nats-server)
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"
  # The tests start servers of their own: the service that came with the package is not to run beside them.
  if [[ " ${missing[*]} " == *" nats-server "* ]] && [ -d /run/systemd/system ]; then
    "${as_root[@]}" systemctl disable --now nats-server
  fi
fi

# Installed is what the list says, so that a list that has changed is installed anew.
upon_change() {
  local list=$1 made=$2
  shift 2
  if cmp -s "$list" "$made/installed-from"; then
    return
  fi
  say "installing what $list lists"
  "$@"
  cp "$list" "$made/installed-from"
}

venv() {
  python3 -m venv --clear target/clients/venv
  target/clients/venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/clients/python/requirements.txt
}

modules() {
  npm --prefix tests/clients/node install --no-audit --no-fund --no-package-lock
}

upon_change tests/clients/python/requirements.txt target/clients/venv venv
upon_change tests/clients/node/package.json tests/clients/node/node_modules modules

# That it is there is not that it works.
target/clients/venv/bin/python -c 'import aiohttp, prometheus_client, websockets'
(cd tests/clients/node && node -e 'require("ws"); require("playwright-core")')
# Debian's, and the newest, of PyPI.
nats="$(/usr/sbin/nats-server --version), $(target/clients/venv/bin/nats-server --version)"
chromium=$(/usr/bin/chromium --version 2>/dev/null)
say "ready: $(python3 --version), Node.js $(node --version), ${chromium%% built*}, $nats"
