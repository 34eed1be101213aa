#!/usr/bin/env bash
# Build the documentation as a site: this checkout as `latest`, and each release (a tag like v1.2.3) beside it.
#
#   docs/site.sh FOLDER [MKDOCS]
#
# versions.json is what the theme's version selector reads (mkdocs-material, src/templates/assets/javascripts/
# integrations/version). A plugin (mike) would do it, too, but keeps each build in a branch.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SITE=$(realpath -m "$1")
MKDOCS=${2:-mkdocs}
RELEASES=$(mktemp -d)
trap 'rm -rf "$RELEASES"' EXIT

rm -rf "$SITE"
# Not --quiet: that hides the warnings from --strict, too.
"$MKDOCS" build --strict -f "$ROOT/mkdocs.yml" -d "$SITE/latest"
versions='{"version": "latest", "title": "latest", "aliases": []}'
for tag in $(git -C "$ROOT" tag --list 'v[0-9]*' --sort=-version:refname); do
  mkdir "$RELEASES/$tag"
  git -C "$ROOT" archive "$tag" docs mkdocs.yml | tar -x -C "$RELEASES/$tag"
  # Not strict: what an older page warned of can't be mended any more.
  "$MKDOCS" build --quiet -f "$RELEASES/$tag/mkdocs.yml" -d "$SITE/$tag"
  versions+=$(printf ',\n{"version": "%s", "title": "%s", "aliases": []}' "$tag" "$tag")
done
printf '[%s]\n' "$versions" > "$SITE/versions.json"
printf '<!doctype html><meta http-equiv="refresh" content="0; url=latest/"><a href="latest/">Documentation</a>\n' \
  > "$SITE/index.html"
