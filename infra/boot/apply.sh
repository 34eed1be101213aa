#!/usr/bin/env bash
# Start what runs on the data node as /opt/logbrook says; harmless to repeat. fetch.py has run before.
set -euo pipefail

disks=${LOGBROOK_DISKS:-/mnt/logbrook} files=${LOGBROOK_FILES:-/opt/logbrook}
list=$files/boot/disks
while read -r disk _; do
  if ! mountpoint --quiet "$disks/$disk"; then
    echo "$disks/$disk is not mounted: nothing is started, so that no data lands on the boot disk" >&2
    exit 1
  fi
done <"$list"
# For the users that the images run as.
while read -r disk directories; do
  for directory in $directories; do
    owner=${directory#*:}
    install --directory --owner="$owner" --group="$owner" --mode=0750 "$disks/$disk/${directory%:*}"
  done
done <"$list"

# shellcheck source=/dev/null
source "$files/boot/compose.sh"
alerts=(alert alertmanager)
[[ -e $files/compose/alert/rules.yaml ]] || { compose rm --force --stop "${alerts[@]}"; alerts=(); }
# Only what is missing: after a reboot, the registry may be away. Everything is fetched before anything is stopped.
compose pull --quiet --policy missing zookeeper kafka clickhouse migrate access audit "${alerts[@]}"
# In the order of their health checks: ZooKeeper, then Kafka; ClickHouse beside them.
compose up --detach --no-build --wait --wait-timeout 900 zookeeper kafka clickhouse
compose run --rm --no-deps migrate
compose run --rm --no-deps access
# The start does not fail for what they find: alerts report it.
compose up --detach --no-build --no-deps audit "${alerts[@]}"
# The deploy fails if Alertmanager refuses its configuration: otherwise, no alert would reach anyone.
[[ ${#alerts[@]} == 0 ]] || compose up --detach --no-build --no-deps --wait --wait-timeout 120 alertmanager
docker image prune --force >/dev/null
echo "Logbrook's data node is up"
