#!/usr/bin/env bash
# A Docker engine with compose and the stand-in images, on a machine that can reach package mirrors but no image
# registry. Each step is skipped when its result is there; everything lies in ~/.cache/logbrook.
#
#   tests/compose/engine.sh up     start the engine unless one answers, build what is missing
#   tests/compose/engine.sh down   stop the engine if `up` started it
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/logbrook
ENGINE=$CACHE/engine
RELEASE=bookworm
PACKAGES=binutils,ca-certificates,openjdk-17-jre-headless,python3,python3-venv
BASE=logbrook-stand-in/base:$RELEASE-$(printf %s "$PACKAGES" | sha256sum | cut -c 1-8)
# The legacy builder: it needs no plugin.
export DOCKER_BUILDKIT=0

say() { printf '[engine %3ds] %s\n' "$SECONDS" "$*"; }
die() { say "$*" >&2; exit 1; }

# quietly NAME COMMAND...: run a step, its output in a log file, the end of which is shown if it fails.
quietly() {
  local log=$ENGINE/$1.log
  shift
  "$@" > "$log" 2>&1 || { tail -n 30 "$log" >&2; die "failed: $* (all of it in $log)"; }
}

install_packages() {
  local missing=()
  command -v dockerd > /dev/null || missing+=(docker.io iptables)
  command -v debootstrap > /dev/null || missing+=(debootstrap)
  [[ ${#missing[@]} -eq 0 ]] && return
  [[ $(id -u) -eq 0 ]] || die "not root: can't install ${missing[*]}"
  say "installing ${missing[*]} from Debian"
  quietly apt-update apt-get update
  quietly apt env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
}

build_compose_plugin() {
  docker compose version > /dev/null 2>&1 && return
  local plugin
  plugin=$(python3 "$ROOT/tests/tools/build.py" --path docker-compose) || die "see above"
  mkdir -p "$HOME/.docker/cli-plugins"
  ln -sf "$plugin" "$HOME/.docker/cli-plugins/docker-compose"
}

start_engine() {
  if docker info > /dev/null 2>&1; then
    say "using the engine that runs: $(docker version --format '{{.Server.Version}}')"
    return
  fi
  [[ $(id -u) -eq 0 ]] || die "no Docker engine answers, and only root can start one"
  say "starting dockerd"
  # Not in our process group: it outlives this script, until `down`.
  setsid dockerd --data-root "$ENGINE/data" --exec-root "$ENGINE/exec" --pidfile "$ENGINE/dockerd.pid" \
    > "$ENGINE/dockerd.log" 2>&1 < /dev/null &
  local pid=$!
  until docker info > /dev/null 2>&1; do
    kill -0 "$pid" 2> /dev/null || { tail -n 15 "$ENGINE/dockerd.log" >&2; die "dockerd ended, see above"; }
    [[ $SECONDS -lt 300 ]] || die "dockerd doesn't answer: $ENGINE/dockerd.log"
    sleep 0.2
  done
  say "dockerd $(docker version --format '{{.Server.Version}}') answers"
}

bootstrap_base() {
  [[ -n $(docker images --quiet "$BASE") ]] && return
  say "building a Debian base image ($PACKAGES)"
  local rootfs=$ENGINE/rootfs
  rm -rf "$rootfs"
  quietly debootstrap debootstrap --variant=minbase "--include=$PACKAGES" "$RELEASE" "$rootfs"
  rm -rf "$rootfs"/var/cache/apt/archives/*.deb "$rootfs"/var/lib/apt/lists/*
  tar -C "$rootfs" -c . | quietly import docker import - "$BASE"
  rm -rf "$rootfs"
  say "built the base image"
}

# build NAME DOCKERFILE CONTEXT [ARGUMENT...]
build() {
  local name=$1 dockerfile=$2 context=$3
  shift 3
  say "building logbrook-stand-in/$name"
  # The host's network: package mirrors may be reachable through it alone.
  quietly "build-$name" docker build --network host --tag "logbrook-stand-in/$name:latest" --file "$dockerfile" \
    "$@" "$context"
}

build_images() {
  local here=$ROOT/tests/compose/stand_in context=$ENGINE/context
  rm -rf "$context"
  mkdir -p "$context"/{python,clickhouse,kafka,watching,grafana}

  cp /etc/ssl/certs/ca-certificates.crt "$context/python"
  build python "$here/python.Dockerfile" "$context/python" --build-arg "BASE=$BASE"
  build service "$ROOT/service/Dockerfile" "$ROOT/service" --build-arg BASE_IMAGE=logbrook-stand-in/python

  local jars
  jars=$CACHE/stand-in-jars-$(sha256sum "$ROOT/compose/native/pom.xml" | cut -c 1-8)
  if [[ ! -d $jars ]]; then
    say "fetching Kafka's and ZooKeeper's jars"
    quietly jars mvn -B -q -f "$ROOT/compose/native/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$jars.new"
    mv "$jars.new" "$jars"
  fi
  cp -r "$jars" "$context/kafka/libs"
  # Where the real image has it.
  mkdir "$context/kafka/agent"
  mv "$context"/kafka/libs/jmx_prometheus_javaagent-*.jar "$context/kafka/agent"
  install -m 0755 "$here/kafka-run.sh" "$context/kafka/run"
  for component in zookeeper kafka; do
    build "$component" "$here/kafka.Dockerfile" "$context/kafka" --build-arg "BASE=$BASE" \
      --build-arg "COMPONENT=$component"
  done

  cp "$ROOT/compose/native/requirements.txt" "$context/clickhouse"
  cp -r "$ROOT/compose/native" "$context/clickhouse/native"
  cp -r "$ROOT/service/logbrook" "$context/clickhouse/logbrook"
  find "$context/clickhouse" -name __pycache__ -prune -exec rm -r {} +
  install -m 0755 "$here/clickhouse-server.py" "$context/clickhouse/clickhouse-server"
  cp "$here/clickhouse_config.py" "$context/clickhouse"
  cp -r "$here/clickhouse" "$context/clickhouse/etc"
  build clickhouse "$here/clickhouse.Dockerfile" "$context/clickhouse" --build-arg BASE=logbrook-stand-in/python

  local program
  for program in prometheus alertmanager node_exporter; do
    build "$program" "$here/watching.Dockerfile" "$context/watching" --build-arg "BASE=$BASE" \
      --build-arg "PROGRAM=$program"
  done
  install -m 0755 "$here/grafana.py" "$context/grafana/grafana.py"
  build grafana "$here/grafana.Dockerfile" "$context/grafana" --build-arg "BASE=$BASE"
  rm -rf "$context"
}

up() {
  mkdir -p "$ENGINE"
  install_packages
  # The longest step needs no engine: it runs next to the others.
  build_compose_plugin &
  local compose=$!
  start_engine
  bootstrap_base
  build_images
  wait "$compose" || die "docker compose could not be built"
  say "ready: $(docker compose version), $(docker images --quiet 'logbrook-stand-in/*' | wc -l) images"
}

down() {
  local pid
  pid=$(cat "$ENGINE/dockerd.pid" 2> /dev/null) || { say "no engine was started from here"; return; }
  # Only a dockerd on our data directory: the number in an old file may be anybody's by now.
  if tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -qF -- "--data-root $ENGINE/data"; then
    say "stopping dockerd"
    kill "$pid"
    while kill -0 "$pid" 2> /dev/null; do sleep 0.2; done
    umount "$ENGINE/exec/netns/default" 2> /dev/null || true
  fi
  say "stopped"
}

main() {
  case ${1:-} in
    up | down) "$1" ;;
    *) echo "usage: ${BASH_SOURCE[0]} up|down" >&2; exit 2 ;;
  esac
}

# Read to its end before it does anything: the file may change while it runs.
main "$@"; exit
