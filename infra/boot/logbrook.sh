#!/usr/bin/env bash
# `logbrook` on the data node: audit, replay, backup, restore, doctor and the others, against what runs here.
set -euo pipefail

if [[ $(id -u) != "${LOGBROOK_UID:-0}" ]]; then
  exec sudo "$0" "$@"
fi
# shellcheck source=/dev/null
source "${LOGBROOK_BOOT:-/opt/logbrook/boot}/compose.sh"
terminal=()
[[ -t 0 && -t 1 ]] || terminal=(--no-TTY)
compose run --rm --no-deps --quiet-pull "${terminal[@]}" logbrook "$@"
