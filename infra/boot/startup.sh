#!/usr/bin/env bash
# Images without cloud-init get it here, at their first boot; everything else is cloud-init's. Compute Engine runs this
# at each boot, and an edit of it never re-creates the machine.
set -euo pipefail

command -v cloud-init >/dev/null && exit 0
apt-get update --quiet
DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes cloud-init
cloud-init init --local
cloud-init init
cloud-init modules --mode=config
cloud-init modules --mode=final
