#!/usr/bin/env bash
# Brings the data node to what its metadata says, and says how far it is: `logbrook-node status`.
#
# logbrook.service runs `converge` at boot and after each deploy, and again a minute after a failure, until it succeeds.
# Every step may be repeated, and none depends on what happened at the first boot. The last state is in
# /var/lib/logbrook/state, and in the guest attribute logbrook/state, where a deploy waits for `ready DIGEST`.
set -euo pipefail

root=${LOGBROOK_ROOT:-}
lib=$root/var/lib/logbrook run=$root/run/logbrook files=$root/opt/logbrook disks=$root/mnt/logbrook
metadata=${GCE_METADATA_HOST:-metadata.google.internal}
bundle=http://$metadata/computeMetadata/v1/instance/attributes/logbrook-bundle
packages=(ca-certificates curl docker-cli docker-compose docker.io e2fsprogs iptables python3 unattended-upgrades)
# RestartSec of logbrook.service.
retry_seconds=60

main() {
  case ${1:-} in
    converge) converge ;;
    status) status ;;
    watch) watch ;;
    stop) stop ;;
    guard) guard ;;
    step) "step_$2" ;;
    *) echo "usage: logbrook-node status | converge | watch | stop | guard" >&2; exit 2 ;;
  esac
}

converge() {
  mkdir -p "$lib" "$run"
  chmod 0700 "$run"
  # Two at a time would fight for dpkg's lock and for Compose's project.
  exec 9>"$run/lock"
  flock 9
  local step reason
  # Of this boot nothing is applied yet, and a deploy must not take what an earlier one wrote for it.
  [[ -e $run/bundle ]] || publish "starting"
  for step in packages fetch disks install apply; do
    note converging "$step" ""
    # A process of its own: inside a condition, bash would go on after an error.
    if ! { bash "$0" step "$step" 2>&1 >&4 | tee "$run/stderr" >&2; } 4>&1; then
      reason=$(grep -v '^[[:space:]]*$' "$run/stderr" | tail -n 1 | tr -cd '[:print:]' | cut -c 1-300) || true
      note failed "$step" "${reason:-no message: journalctl --unit logbrook}"
      publish "failed $step: ${reason:-no message}"
      exit 1
    fi
  done
  cp "$run/bundle" "$lib/applied"
  note ready "" ""
  publish "ready $(<"$lib/applied")"
  systemctl start --no-block logbrook-agent.service
}

# The state of one moment, replaced in one step. Whoever may log in may read it.
note() {
  printf 'state=%s\nstep=%s\nseconds=%s\nerror=%s\n' "$1" "$2" "$(date +%s)" "$3" >"$lib/state.new"
  mv "$lib/state.new" "$lib/state"
}

# Google removes guest attributes that are written more than 10 times a minute: only the first run's start and the end of
# each run are. https://cloud.google.com/compute/docs/metadata/manage-guest-attributes (read 2026-11-28). Bash's own
# /dev/tcp: this must work before any package is installed.
publish() {
  local host=${metadata%:*} port=80 answer
  [[ $metadata != *:* ]] || port=${metadata##*:}
  {
    printf 'PUT /computeMetadata/v1/instance/guest-attributes/logbrook/state HTTP/1.1\r\nHost: %s\r\n' "$host" >&3
    printf 'Metadata-Flavor: Google\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' "${#1}" "$1" >&3
    read -r -t 10 answer <&3
    [[ $answer == *" 200 "* ]] || echo "the guest attribute was refused: $answer" >&2
  } 3<>"/dev/tcp/$host/$port" || echo "the guest attribute could not be written" >&2
}

status() {
  local state="not run yet" step="" seconds error="" now
  now=$(date +%s) seconds=$now
  if [[ -r $lib/state ]]; then
    while IFS='=' read -r name value; do
      case $name in
        state) state=$value ;;
        step) step=$value ;;
        seconds) seconds=$value ;;
        error) error=$value ;;
      esac
    done <"$lib/state"
  fi
  echo "state     $state${step:+ at $step}"
  echo "since     $(date --utc --date="@$seconds" +%FT%TZ), $((now - seconds)) s ago"
  [[ ! -r $lib/applied ]] || echo "bundle    $(<"$lib/applied")"
  if [[ $state == failed ]]; then
    local next=$((seconds + retry_seconds - now))
    echo "error     $error"
    echo "next try  in $((next > 0 ? next : 0)) s; at once: sudo systemctl start logbrook"
    echo "more      sudo journalctl --unit logbrook --since -15min"
  fi
  [[ $state == ready ]]
}

step_packages() {
  local wanted
  # shellcheck disable=SC2016 # the format is dpkg's
  wanted=$(dpkg-query --show --showformat '${db:Status-Status}\n' "${packages[@]}" 2>/dev/null) || true
  [[ $(grep -c '^installed$' <<<"$wanted") != "${#packages[@]}" ]] || return 0
  export DEBIAN_FRONTEND=noninteractive
  # What an earlier try left half done.
  dpkg --configure -a
  # Without --error-on, it succeeds offline (apt-get(8)).
  apt-get --quiet --option DPkg::Lock::Timeout=300 --error-on=any update
  apt-get --quiet --option DPkg::Lock::Timeout=300 --yes install "${packages[@]}"
}

step_fetch() {
  python3 -I "$root/usr/local/sbin/logbrook-fetch" "${root:-/}"
}

# The first word of each line; infra/config.py has what it is made from, and `fetch` brings it: a deploy may add a disk.
disks_of_list() {
  cut --delimiter=' ' --fields=1 "$files/boot/disks"
}

step_disks() {
  local names disk device line changed=
  names=$(disks_of_list)
  for disk in $names; do
    device=$root/dev/disk/by-id/google-logbrook-$disk
    [[ -e $device ]] || { echo "the disk $disk is not attached: $device is missing" >&2; exit 1; }
    format "$device"
    line="/dev/disk/by-id/google-logbrook-$disk /mnt/logbrook/$disk ext4 defaults,nofail,discard 0 2"
    grep -qxF "$line" "$root/etc/fstab" || { echo "$line" >>"$root/etc/fstab"; changed=yes; }
  done
  [[ -z $changed ]] || systemctl daemon-reload
  for disk in $names; do
    mountpoint --quiet "$disks/$disk" || systemctl start "mnt-logbrook-$disk.mount"
  done
  grow
}

# A disk that holds anything at all is left alone.
format() {
  local contents
  contents=$(wipefs --no-act --noheadings "$1")
  [[ -n $contents ]] || mkfs.ext4 -q -m 0 "$1"
}

# A disk may be enlarged while it is in use; on one that was not, this does nothing.
# https://cloud.google.com/compute/docs/disks/resize-persistent-disk (a whole disk without partitions, read 2026-11-28)
grow() {
  local names disk
  names=$(disks_of_list)
  for disk in $names; do
    resize2fs "$root/dev/disk/by-id/google-logbrook-$disk"
  done
}

# Programs and units of the machine itself follow a deploy, too.
step_install() {
  local file target mode changed=" "
  while read -r file mode target; do
    if ! cmp --silent "$files/boot/$file" "$root$target"; then
      install -D --mode="$mode" "$files/boot/$file" "$root$target.new"
      mv "$root$target.new" "$root$target"
      changed+="$file "
    fi
  done <"$files/boot/targets"
  [[ $changed == " " ]] || systemctl daemon-reload
  # live-restore can be turned on without a restart: https://docs.docker.com/engine/daemon/live-restore (read 2026-11-28)
  [[ $changed != *" daemon.json "* ]] || systemctl reload docker.service
  [[ $changed != *" node.sh "* ]] || systemctl restart --no-block logbrook-watch.service
  # The watcher starts after logbrook.service, which is what runs here: whoever waited for it would wait forever.
  systemctl enable --quiet --now --no-block logbrook-watch.service logbrook-shutdown.service logbrook-backup.timer
}

step_apply() {
  guard
  LOGBROOK_DISKS=$disks LOGBROOK_FILES=$files LOGBROOK_RUN=$run bash "$files/boot/apply.sh"
}

# Before Docker starts, and with each deploy: who runs code in a container does not get this machine's credentials, and
# who is on this machine without being root does not get to Kafka's listener without passwords. Port 53 is the name
# server. Docker leaves this chain alone: https://docs.docker.com/engine/network/packet-filtering-firewalls/
guard() {
  iptables --wait --new-chain DOCKER-USER 2>/dev/null || true
  rule DOCKER-USER --destination 169.254.169.254 --protocol tcp ! --destination-port 53
  rule OUTPUT --protocol tcp --destination-port 29092 --match owner ! --uid-owner 0
}

rule() {
  iptables --wait --check "$@" --jump REJECT 2>/dev/null || iptables --wait --insert "$@" --jump REJECT
}

# Wait for a deploy to change the metadata, then apply it; see to grown disks every five minutes meanwhile. A deploy thus
# never needs to log in to this machine.
watch() {
  local headers etag=0 digest tried=""
  while true; do
    headers=$(curl --silent --show-error --fail --header 'Metadata-Flavor: Google' --output "$run/seen" \
      --dump-header - "$bundle?wait_for_change=true&timeout_sec=300&last_etag=$etag") || { sleep 10; continue; }
    etag=$(tr -d '\r' <<<"$headers" | sed -n 's/^[Ee][Tt][Aa][Gg]: //p')
    digest=$(sha256sum "$run/seen")
    digest=${digest%% *}
    if [[ $digest != "$tried" && $digest != "$(cat "$lib/applied" 2>/dev/null)" ]]; then
      # One run may have been under way with an earlier deploy: look again at once. After a failure, systemd repeats it.
      if systemctl start logbrook.service; then
        etag=0
      else
        tried=$digest
        echo "applying the change failed; it is tried again" >&2
      fi
    fi
    grow >/dev/null 2>&1 || true
  done
}

# Live-restore leaves containers running when Docker stops; at shutdown they are stopped in order, Kafka before ZooKeeper.
stop() {
  publish "stopped"
  docker stop --time 60 logbrook-kafka-1 logbrook-clickhouse-1 logbrook-alert-1 logbrook-alertmanager-1 || true
  docker stop --time 20 logbrook-zookeeper-1 || true
}

main "$@"
