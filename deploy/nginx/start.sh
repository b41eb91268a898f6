#!/bin/sh
# Start nginx on the configuration beside this file, with the way to the replicas that this version of nginx can go.
set -eu
here=$(dirname "$0")
conf=/tmp/nginx
mkdir -p "$conf"
cp "$here"/*.conf "$conf"
nginx -t -q -e /dev/null -c "$conf/nginx.conf" 2>/dev/null || cp "$here/upstream-before-1.27.3.conf" "$conf/upstream.conf"
exec nginx -e stderr -c "$conf/nginx.conf" -g 'daemon off;'
