#!/bin/sh
# Replace the replicas one after the other by new ones with the settings of deploy/service.env and .env and the image as built
# now: sh deploy/roll.sh. An old replica ends when a new one is healthy; where none gets healthy the old one stays, and the
# others are tried all the same. Ends with status 1 if any stayed.
set -eu
cd "$(dirname "$0")/.."
compose() { docker compose ${PROJECT:+-p "$PROJECT"} "$@"; }
replicas() { compose ps --quiet service; }

# What the replicas would start with is checked before any of them is touched.
compose run --rm -T --no-deps settings

old=$(replicas) stayed=0
for replica in $old; do
  running=$(replicas)
  echo "replacing $(docker inspect --format '{{.Name}}' "$replica")"
  if compose up --detach --no-recreate --no-deps --no-build --scale "service=$(($(echo "$running" | wc -l) + 1))" \
      --wait --wait-timeout "${WAIT_S:-120}" service; then
    docker stop -t 30 "$replica" >/dev/null && docker rm "$replica" >/dev/null || stayed=$((stayed + 1))
  else
    stayed=$((stayed + 1))
    echo "the new replica is not healthy, so that the old one stays; the new one's log:" >&2
    for made in $(replicas); do
      echo "$running" | grep -q "$made" && continue
      docker logs --tail 20 "$made" >&2 || true
      docker rm --force "$made" >/dev/null || true
    done
  fi
done
[ $stayed -eq 0 ] || { echo "$stayed of $(echo "$old" | wc -l) replicas were not replaced" >&2; exit 1; }
