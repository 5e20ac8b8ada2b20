#!/usr/bin/env bash
# Makes .venv with the locked dependencies and this project in it. Safe to repeat.
set -euo pipefail
cd "$(dirname "$0")/.."

python=""
for candidate in python3.11 python3.12 python3.13 python3; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=$candidate
    break
  fi
done
if [[ -z $python ]]; then
  echo "Python 3.11 or later is missing. Install the Debian packages python3 and python3-venv." >&2
  exit 1
fi

if [[ ! -x .venv/bin/pip ]]; then
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
      echo "Installing the Debian package python3-venv"
      (apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv) </dev/null >/dev/null
    else
      echo "Python cannot make virtual environments here. Install the Debian package python3-venv." >&2
      exit 1
    fi
  fi
  echo "Making .venv"
  "$python" -m venv .venv
fi

pip=(.venv/bin/pip --disable-pip-version-check -qq --no-input install)
# torch comes first and by its version alone, so that pip takes the build that suits this machine
mapfile -t first < <(grep -E '^(torch|numpy)==' requirements.lock)
echo "Installing ${first[*]}"
"${pip[@]}" "${first[@]}"
echo "Installing the locked dependencies"
"${pip[@]}" -r requirements.lock "setuptools>=80"
"${pip[@]}" --no-deps --no-build-isolation -e .
