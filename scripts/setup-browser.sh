#!/usr/bin/env bash
# Sees that Chromium is there, for the end-to-end tests and the screenshots.
set -euo pipefail

if command -v chromium >/dev/null; then
  exit 0
fi
if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  echo "Installing the Debian packages chromium and fonts-liberation"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq </dev/null >/dev/null
  apt-get install -y -qq --no-install-recommends chromium fonts-liberation </dev/null >/dev/null
fi
if ! command -v chromium >/dev/null; then
  echo "The end-to-end tests need a browser. Install the Debian packages chromium and fonts-liberation." >&2
  exit 1
fi
