#!/bin/sh
# Send a request to every replica, one after the other: sh each-replica.sh METHOD PATH [KEY]
set -eu
method=$1 path=$2 key=${3:-}
[ $# -le 3 ] || { echo "each-replica.sh METHOD PATH [KEY]" >&2; exit 2; }
for replica in $(getent ahosts service | awk '{ print $1 }' | sort -u); do
  echo "$replica:"
  curl -sS --fail-with-body --max-time 60 -X "$method" ${key:+-H "Authorization: Bearer $key"} "http://$replica:8000$path"
  echo
done
