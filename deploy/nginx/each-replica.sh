#!/bin/sh
# Send a request to every replica, one after the other: KEY=mmoe_... sh each-replica.sh METHOD PATH [JSON]
set -eu
[ $# -ge 2 ] && [ $# -le 3 ] || { echo "KEY=mmoe_... sh each-replica.sh METHOD PATH [JSON]" >&2; exit 2; }
method=$1 path=$2
replicas=$(getent ahosts service || nslookup service)  # whichever of them the image has
for replica in $(echo "$replicas" | grep -oE '([0-9]+[.]){3}[0-9]+' | grep -v '^127[.]' | sort -u); do
  echo "$replica:"
  curl -sS --fail-with-body --max-time 60 -X "$method" -H 'Content-Type: application/json' \
    ${KEY:+-H "Authorization: Bearer $KEY"} ${3:+--data "$3"} "http://$replica:8000$path"
  echo
done
