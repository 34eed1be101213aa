#!/usr/bin/env bash
# Give a data disk its file system when it is new. A disk that holds anything at all is left alone.
set -euo pipefail

device=$1
if contents=$(wipefs --no-act --noheadings "$device") && [[ -z $contents ]]; then
  mkfs.ext4 -q -m 0 "$device"
fi
