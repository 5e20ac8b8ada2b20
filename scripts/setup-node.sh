#!/usr/bin/env bash
# Installs the front end's locked dependencies.
set -euo pipefail
cd "$(dirname "$0")/../frontend"

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "Node 20.19 or later is missing. Install the Debian packages nodejs and npm (or a newer Node)." >&2
  exit 1
fi
echo "Installing the front end's dependencies"
npm ci --no-audit --no-fund --silent </dev/null
