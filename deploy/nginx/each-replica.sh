#!/bin/sh
# Send a request to every replica, one after the other, also when one fails: KEY=mmoe_... sh each-replica.sh METHOD PATH [JSON]
# Ends with status 1 if a replica did not answer, or answered with a status from 400 on. REPLICAS="HOST:PORT ..." names them;
# without it they are those that Docker's name server knows.
set -eu
[ $# -ge 2 ] && [ $# -le 3 ] || { echo "KEY=mmoe_... sh each-replica.sh METHOD PATH [JSON]" >&2; exit 2; }
method=$1 path=$2 status=0
known() {
  { getent ahosts service || nslookup service; } | grep -oE '([0-9]+[.]){3}[0-9]+' | grep -v '^127[.]' | sort -u | sed 's/$/:8000/'
}
for replica in ${REPLICAS:-$(known)}; do
  echo "${replica%:*}:"
  curl -sS --fail-with-body --max-time 60 -X "$method" -H 'Content-Type: application/json' \
    ${KEY:+-H "Authorization: Bearer $KEY"} ${3:+--data "$3"} "http://$replica$path" || status=1
  echo
done
[ $status -eq 0 ] || echo "a replica has not done it, see above; the others have been asked all the same" >&2
exit $status
