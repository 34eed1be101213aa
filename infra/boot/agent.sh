#!/usr/bin/env bash
# Google's agent reports memory and disks, which the alerts on them need, and what agent.yaml names. The platform runs
# without it.
set -euo pipefail
root=${LOGBROOK_ROOT:-}

# From the repository that Google's add-google-cloud-ops-agent-repo.sh sets up, without running that script: apt verifies
# what it installs by the repository's signature.
if ! systemctl is-enabled --quiet google-cloud-ops-agent 2>/dev/null; then
  # shellcheck source=/dev/null
  source "$root/etc/os-release"
  key=/etc/apt/keyrings/google-cloud.asc repository=https://packages.cloud.google.com/apt
  curl --silent --show-error --fail --create-dirs --output "$root$key" "$repository/doc/apt-key.gpg"
  echo "deb [signed-by=$key] $repository google-cloud-ops-agent-${VERSION_CODENAME:?}-all main" \
    >"$root/etc/apt/sources.list.d/google-cloud-ops-agent.list"
  apt-get --quiet --option DPkg::Lock::Timeout=300 --error-on=any update
  DEBIAN_FRONTEND=noninteractive apt-get --quiet --option DPkg::Lock::Timeout=300 --yes install google-cloud-ops-agent
fi
# Its package brings a file of that name: ours comes after it.
wanted=$root/usr/local/share/logbrook-agent.yaml target=$root/etc/google-cloud-ops-agent/config.yaml
if ! cmp --silent "$wanted" "$target"; then
  install -D --mode=0644 "$wanted" "$target"
  systemctl restart google-cloud-ops-agent
fi
