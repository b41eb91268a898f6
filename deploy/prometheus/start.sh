#!/bin/sh
# Start Prometheus on the configuration beside this file; REPLICAS says how many replicas there are meant to be.
set -eu
here=$(dirname "$0")
conf=${TMPDIR:-/tmp}/prometheus
mkdir -p "$conf"
cp "$here"/*.yml "$conf"
sed "s/vector(2)/vector(${REPLICAS:-2})/" "$here/replicas.yml" > "$conf/replicas.yml"
exec prometheus --config.file="$conf/prometheus.yml" "$@"
