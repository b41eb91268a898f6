#!/bin/sh
# Write the digests that the images' tags mean now into .env, so that the same images are taken from then on:
#   sh deploy/pin-images.sh             needs the registry
#   sh deploy/pin-images.sh --unpin     empties them: tags again
set -eu
cd "$(dirname "$0")/.."
env_file=${ENV_FILE:-.env} missing=0
tag_of() {  # VARIABLE: its image as docker-compose.yml names it, without a digest
  case $1 in
    PYTHON_DIGEST) echo "${PYTHON_IMAGE:-python:3.11-slim-bookworm}" ;;
    *) sed -n "s/^ *image: \(&[a-z]* \)\{0,1\}\([^\$]*\)\${$1:.*/\2/p" docker-compose.yml ;;
  esac
}
for variable in $(sed -n 's/^\([A-Z]*_DIGEST\)=.*/\1/p' "$env_file"); do
  digest=""
  if [ "${1:-}" != --unpin ]; then
    image=$(tag_of "$variable")
    digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}') || digest=""
    case $digest in
      sha256:*) echo "$image is $digest" ;;
      *) echo "$image cannot be looked up: $variable stays as it is" >&2; missing=1; continue ;;
    esac
  fi
  written=$(sed "s/^$variable=.*/$variable=$digest/" "$env_file")
  printf '%s\n' "$written" > "$env_file"
done
exit $missing
