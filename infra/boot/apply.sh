#!/usr/bin/env bash
# Bring the data node to what /opt/logbrook says; harmless to repeat. fetch.py has run before.
set -euo pipefail

disks=${LOGBROOK_DISKS:-/mnt/logbrook}
for disk in kafka clickhouse; do
  if ! mountpoint --quiet "$disks/$disk"; then
    echo "$disks/$disk is not mounted: nothing is started, so that no data lands on the boot disk" >&2
    exit 1
  fi
done
# The users that the images run as.
install --directory --owner=1000 --group=1000 --mode=0750 \
  "$disks/kafka/zookeeper-data" "$disks/kafka/zookeeper-log" "$disks/kafka/kafka-data"
install --directory --owner=101 --group=101 --mode=0750 "$disks/clickhouse/clickhouse-data"

cd "${LOGBROOK_FILES:-/opt/logbrook}"
run=${LOGBROOK_RUN:-/run/logbrook}
export DOCKER_CONFIG=$run/docker
program=(docker compose)
docker compose version >/dev/null 2>&1 || program=(docker-compose)
compose() {
  "${program[@]}" --project-name logbrook \
    --env-file logbrook.env --env-file "$run/secrets.env" \
    --file compose/compose.yaml --file compose/compose.cloud.yaml "$@"
}

compose pull --quiet zookeeper kafka clickhouse migrate access
# In the order of their health checks: ZooKeeper, then Kafka; ClickHouse beside them.
compose up --detach --no-build --wait --wait-timeout 900 zookeeper kafka clickhouse
compose run --rm --no-deps migrate
compose run --rm --no-deps access
docker image prune --force >/dev/null

# What cloud-init wrote at the first boot follows a deploy too, from the next boot on.
while read -r file target; do
  cmp --silent "boot/$file" "$target" || install --mode=0644 "boot/$file" "$target"
done <boot/targets
systemctl daemon-reload
echo "Logbrook's data node is up"
