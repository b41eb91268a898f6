#!/bin/sh
# Unpack NAME/VERSION/... of a gzipped archive from the standard input into a directory of models: beside their places first,
# under a name that the service does not look at, then each version is renamed into its place.
set -eu
models=$1
aside=$(mktemp -d "$models/.incoming-XXXXXX")
trap 'rm -rf "$aside"' EXIT
trap 'exit 1' INT TERM
tar -C "$aside" -xz
for made in "$aside"/*/*/model.onnx; do
  [ -e "$made" ] || { echo "the archive has no NAME/VERSION/model.onnx" >&2; exit 1; }
  version=$(dirname "$made")
  name=$(basename "$(dirname "$version")") number=$(basename "$version")
  if [ -e "$models/$name/$number" ]; then
    cmp -s "$made" "$models/$name/$number/model.onnx" && echo "$name $number is there already" && continue
    echo "$name $number is there already and is another: it stays; publish this one under the next number" >&2
    failed=1
    continue
  fi
  mkdir -p "$models/$name"
  chmod -R u=rwX,go=rX "$version"
  mv -T "$version" "$models/$name/$number"
  echo "$name $number is published"
done
exit ${failed:-0}
