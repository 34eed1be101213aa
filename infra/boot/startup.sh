#!/usr/bin/env bash
# Compute Engine runs this at each boot: it installs what converges the machine, and starts that. What is below is from
# infra/boot/ as of the last deploy.
set -euo pipefail

put() {
  local target=${LOGBROOK_ROOT:-}$2
  install -D --mode="$1" /dev/stdin "$target.new"
  mv "$target.new" "$target"
}

start() {
  systemctl daemon-reload
  systemctl enable --quiet logbrook.service
  # Where it runs already, or waits for its next try, this changes nothing or hurries it.
  systemctl start --no-block logbrook.service
}

