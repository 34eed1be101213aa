#!/usr/bin/env bash
# Start as cp-kafka and cp-zookeeper do: configure (variables become properties in /etc/kafka), ensure (what must be
# writable and reachable is), launch. The sources are named in compose/images.yaml; each step refuses what the image refuses.
set -euo pipefail

# Without it, the log of the garbage collector goes to /usr/logs.
log_dir=${LOG_DIR:-/usr/logs}
case $COMPONENT in
  kafka) main=kafka.Kafka properties=/etc/kafka/kafka.properties default_arguments="-name kafkaServer -loggc" heap=-Xmx1G ;;
  zookeeper) main=org.apache.zookeeper.server.quorum.QuorumPeerMain properties=/etc/kafka/zookeeper.properties
    default_arguments="-name zookeeper -loggc" heap=-Xmx512M ;;
esac

# `dub ensure` and `dub path ... writable`.
ensure() { [[ -n ${!1:-} ]] || { echo "$1 is required." >&2; echo "Command [dub ensure $1] FAILED !" >&2; exit 1; }; }
writable() { [[ -w $1 ]] || { echo "Command [dub path $1 writable] FAILED !" >&2; exit 1; }; }

kafka_properties() {
  local name key
  for name in $(compgen -e KAFKA_); do
    # The image means to leave KAFKA_HEAP_OPTS and KAFKA_LOG4J_OPTS out as well, but a comma is missing.
    case $name in KAFKA_VERSION | KAFKA_OPTS | KAFKA_JMX_OPTS | KAFKA_JVM_PERFORMANCE_OPTS | KAFKA_GC_LOG_OPTS) continue ;; esac
    # ___ stands for a dash, __ for an underscore.
    key=${name#KAFKA_} key=${key//___/-} key=${key//__/$'\n'} key=${key//_/.} key=${key//$'\n'/_}
    echo "${key,,}=${!name}"
  done
}

zookeeper_properties() {
  local pair
  echo "dataDir=/var/lib/zookeeper/data"
  echo "dataLogDir=/var/lib/zookeeper/log"
  # Of those that the image knows, the ones that a single server may need: any other is passed over in silence, as there.
  for pair in CLIENT_PORT=clientPort TICK_TIME=tickTime MAX_CLIENT_CNXNS=maxClientCnxns SNAP_COUNT=snapCount \
    ADMIN_ENABLE_SERVER=admin.enableServer ADMIN_SERVER_PORT=admin.serverPort FORCE_SYNC=forceSync \
    AUTOPURGE_SNAP_RETAIN_COUNT=autopurge.snapRetainCount AUTOPURGE_PURGE_INTERVAL=autopurge.purgeInterval; do
    local variable=ZOOKEEPER_${pair%=*}
    [[ -z ${!variable:-} ]] || echo "${pair#*=}=${!variable}"
  done
}

configure() {
  if [[ $COMPONENT == kafka ]]; then
    ensure KAFKA_ZOOKEEPER_CONNECT
    ensure KAFKA_ADVERTISED_LISTENERS
    export KAFKA_LOG_DIRS=${KAFKA_LOG_DIRS:-/var/lib/kafka/data}
    local old
    for old in KAFKA_ADVERTISED_PORT KAFKA_ADVERTISED_HOST KAFKA_HOST KAFKA_PORT; do
      [[ -z ${!old:-} ]] || { echo "$old is deprecated. Please use KAFKA_ADVERTISED_LISTENERS instead."; exit 1; }
    done
    # A listener of that name needs a JAAS file: ours are named INTERNAL, HOST and VPC.
    [[ ! $KAFKA_ADVERTISED_LISTENERS =~ SASL_.*:// ]] || ensure KAFKA_OPTS
    [[ $KAFKA_ADVERTISED_LISTENERS != *SSL://* ]] || ensure KAFKA_SSL_KEYSTORE_FILENAME
  else
    ensure ZOOKEEPER_CLIENT_PORT
  fi
  writable /etc/kafka/
  "${COMPONENT}_properties" > "$properties"
  printf 'log4j.rootLogger=INFO, stdout\nlog4j.appender.stdout=org.apache.log4j.ConsoleAppender\n%s\n' \
    log4j.appender.stdout.layout=org.apache.log4j.SimpleLayout > /etc/kafka/log4j.properties
  cp /etc/kafka/log4j.properties /etc/kafka/tools-log4j.properties
}

preflight() {
  if [[ $COMPONENT == zookeeper ]]; then
    writable /var/lib/zookeeper/data
    writable /var/lib/zookeeper/log
    return
  fi
  writable "${KAFKA_DATA_DIRS:-/var/lib/kafka/data}"
  local address=${KAFKA_ZOOKEEPER_CONNECT%%[,/]*} tries=${KAFKA_CUB_ZK_TIMEOUT:-40}
  until (exec 3<> "/dev/tcp/${address%:*}/${address#*:}") 2> /dev/null; do
    tries=$((tries - 1))
    [[ $tries -gt 0 ]] || { echo "Command [cub zk-ready $KAFKA_ZOOKEEPER_CONNECT] FAILED !" >&2; exit 1; }
    sleep 1
  done
}

launch() {
  local log4j=${KAFKA_LOG4J_OPTS:--Dlog4j.configuration=file:/etc/kafka/log4j.properties} gc=()
  mkdir -p "$log_dir"
  [[ ${EXTRA_ARGS-$default_arguments} != *-loggc* ]] || gc=("-Xlog:gc*:file=$log_dir/$COMPONENT-gc.log")
  # shellcheck disable=SC2086 # options are words
  exec java ${KAFKA_HEAP_OPTS:-$heap} "${gc[@]}" -Dkafka.logs.dir="$log_dir" $log4j ${KAFKA_OPTS:-} -XX:+UseG1GC \
    -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true -cp '/usr/share/java/kafka/*' "$main" "$properties"
}

echo "===> User"
id
echo "===> Configuring ..."
configure
echo "===> Running preflight checks ..."
preflight
echo "===> Launching ..."
launch
