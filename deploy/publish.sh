#!/bin/sh
# Publish the models of a directory, or of an archive that `back up` made, into the volume of models:
#   sh deploy/publish.sh models          sh deploy/publish.sh models.tgz
# A version appears whole or not at all, and one that is there already stays as it is.
set -eu
[ $# -eq 1 ] || { echo "sh deploy/publish.sh DIRECTORY|ARCHIVE.tgz" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
archive() { if [ -d "$1" ]; then tar -C "$1" -cz .; else cat "$1"; fi; }
archive "$1" | (cd "$here/.." && docker compose ${PROJECT:+-p "$PROJECT"} run --rm -T --no-deps --entrypoint sh trainer \
  -c "$(cat "$here/unpack.sh")" unpack /models)
