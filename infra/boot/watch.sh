#!/usr/bin/env bash
# Wait for a deploy to change the bundle, then apply it. A deploy thus never needs to log in to this machine.
set -euo pipefail

url=http://metadata.google.internal/computeMetadata/v1/instance/attributes/logbrook-bundle
etag=0
while true; do
  # The first answer comes at once and is what the boot applied; each later one is a change.
  headers=$(curl --silent --show-error --fail --header 'Metadata-Flavor: Google' --output /dev/null \
    --dump-header - "$url?wait_for_change=true&last_etag=$etag") || { sleep 10; continue; }
  now=$(tr -d '\r' <<<"$headers" | sed -n 's/^[Ee][Tt][Aa][Gg]: //p')
  if [[ -n $now && $now != "$etag" ]]; then
    [[ $etag == 0 ]] || systemctl restart logbrook.service || echo "applying the change failed" >&2
    etag=$now
  fi
done
