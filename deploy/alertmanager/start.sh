#!/bin/sh
# Start Alertmanager on the configuration beside this file, with the webhook whose address stands in a file of its own.
set -eu
here=$(dirname "$0")
webhook=${WEBHOOK_FILE:-/run/secrets/alerts/webhook}
conf=${TMPDIR:-/tmp}/alertmanager.yml
cp "$here/alertmanager.yml" "$conf"
if [ -s "$webhook" ]; then
  printf '    webhook_configs:\n      - url: "%s"\n' "$(head -n 1 "$webhook")" >> "$conf"
elif ! grep -q '_configs:' "$conf"; then
  echo "alerts are shown and sent to nobody: put the address of a webhook into deploy/secrets/alerts/webhook" >&2
fi
program=$(command -v alertmanager || echo prometheus-alertmanager)  # the second is Debian's name of it
exec "$program" --config.file="$conf" "$@"
