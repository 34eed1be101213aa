#!/usr/bin/env bash
# Write the configuration from the environment, as cp-kafka and cp-zookeeper do, then become the server.
set -euo pipefail

kafka_properties() {
  local name key
  echo "log.dirs=/var/lib/kafka/data"
  for name in $(compgen -e KAFKA_); do
    case $name in KAFKA_HEAP_OPTS | KAFKA_LOG4J_OPTS | KAFKA_OPTS) continue ;; esac
    # ___ stands for a dash, __ for an underscore.
    key=${name#KAFKA_} key=${key//___/-} key=${key//__/$'\n'} key=${key//_/.} key=${key//$'\n'/_}
    echo "${key,,}=${!name}"
  done
}

zookeeper_properties() {
  cat << END
dataDir=/var/lib/zookeeper/data
dataLogDir=/var/lib/zookeeper/log
clientPort=$ZOOKEEPER_CLIENT_PORT
tickTime=$ZOOKEEPER_TICK_TIME
admin.enableServer=$ZOOKEEPER_ADMIN_ENABLE_SERVER
autopurge.snapRetainCount=$ZOOKEEPER_AUTOPURGE_SNAP_RETAIN_COUNT
autopurge.purgeInterval=$ZOOKEEPER_AUTOPURGE_PURGE_INTERVAL
END
}

case $COMPONENT in
  kafka) main=kafka.Kafka ;;
  zookeeper) main=org.apache.zookeeper.server.quorum.QuorumPeerMain ;;
esac
"${COMPONENT}_properties" > "/etc/kafka/$COMPONENT.properties"
# shellcheck disable=SC2086 # options are words
exec java $KAFKA_HEAP_OPTS $KAFKA_LOG4J_OPTS ${KAFKA_OPTS:-} -XX:+UseG1GC -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true \
  -cp '/usr/share/java/kafka/*' "$main" "/etc/kafka/$COMPONENT.properties"
