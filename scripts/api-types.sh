#!/usr/bin/env bash
# Generates frontend/src/lib/api-schema.d.ts from the server's OpenAPI schema; --check fails when it is out of date.
set -euo pipefail
cd "$(dirname "$0")/.."

target=frontend/src/lib/api-schema.d.ts
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DJANGO_SETTINGS_MODULE=controlplane.settings.test COX_SECRET_KEY=only-for-the-schema
.venv/bin/python manage.py spectacular --validate --fail-on-warn --file "$folder/schema.yaml"
npm --prefix frontend run --silent gen:api -- "$folder/schema.yaml" "$folder/api-schema.d.ts"
if [[ ${1:-} == --check ]]; then
  if ! diff -q "$target" "$folder/api-schema.d.ts" >/dev/null; then
    diff "$target" "$folder/api-schema.d.ts" | head -20 || true
    echo "$target is out of date: run \`make api-types\`." >&2
    exit 1
  fi
else
  cp "$folder/api-schema.d.ts" "$target"
fi
