#!/usr/bin/env bash
# Start what runs on the data node as /opt/logbrook says; harmless to repeat. fetch.py has run before.
set -euo pipefail

disks=${LOGBROOK_DISKS:-/mnt/logbrook} list=${LOGBROOK_FILES:-/opt/logbrook}/boot/disks
while read -r disk _; do
  if ! mountpoint --quiet "$disks/$disk"; then
    echo "$disks/$disk is not mounted: nothing is started, so that no data lands on the boot disk" >&2
    exit 1
  fi
done <"$list"
# For the users that the images run as.
while read -r disk owner directories; do
  for directory in $directories; do
    install --directory --owner="$owner" --group="$owner" --mode=0750 "$disks/$disk/$directory"
  done
done <"$list"

# shellcheck source=/dev/null
source "${LOGBROOK_FILES:-/opt/logbrook}/boot/compose.sh"
# Only what is missing: after a reboot, the registry may be away. Everything is fetched before anything is stopped.
compose pull --quiet --policy missing zookeeper kafka clickhouse migrate access audit
# In the order of their health checks: ZooKeeper, then Kafka; ClickHouse beside them.
compose up --detach --no-build --wait --wait-timeout 900 zookeeper kafka clickhouse
compose run --rm --no-deps migrate
compose run --rm --no-deps access
# What it finds is an alert's business, not the start's.
compose up --detach --no-build --no-deps audit
docker image prune --force >/dev/null
echo "Logbrook's data node is up"
