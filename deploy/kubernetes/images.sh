#!/bin/sh
# Build the three images, push them, and write their digests into overlays/cloud/kustomization.yaml:
#   sh deploy/kubernetes/images.sh registry.example/team [TAG]
# PIP_EXTRA_INDEX_URL is passed on to the build, as for compose.
set -eu
[ $# -ge 1 ] || { echo "sh images.sh REGISTRY [TAG]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
registry=$1 tag=${2:-$(git -C "$here" rev-parse --short HEAD)}
file=${KUSTOMIZATION:-$here/overlays/cloud/kustomization.yaml}
for target in service trainer evaluation; do
  image=$registry/mmoe-$target
  docker build --target $target --build-arg EXTRA=stores ${PIP_EXTRA_INDEX_URL:+--build-arg "PIP_EXTRA_INDEX_URL=$PIP_EXTRA_INDEX_URL"} \
    -t "$image:$tag" "$here/../.."
  docker push "$image:$tag"
  digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image:$tag" | sed -n "s|^$image@||p")
  case $digest in
    sha256:*) ;;
    *) echo "$image:$tag was pushed and has no digest" >&2; exit 1 ;;
  esac
  written=$(sed -e "/- name: mmoe-$target\$/,/digest:/{s|newName:.*|newName: $image|;s|digest:.*|digest: $digest|;}" "$file")
  printf '%s\n' "$written" > "$file"
  echo "$image is $digest"
done
