# shellcheck shell=bash
# `compose ...`: docker compose on the node's project, with its variables and secrets. Sourced by apply.sh and logbrook.sh.
files=${LOGBROOK_FILES:-/opt/logbrook} run=${LOGBROOK_RUN:-/run/logbrook}
export DOCKER_CONFIG=$run/docker LOGBROOK_RUN=$run
if [[ ! -r $run/secrets.env ]]; then
  echo "$run/secrets.env is missing: the node is not ready. See: logbrook-node status" >&2
  exit 1
fi
program=(docker compose)
docker compose version >/dev/null 2>&1 || program=(docker-compose)
compose() {
  "${program[@]}" --project-name logbrook \
    --env-file "$files/logbrook.env" --env-file "$run/secrets.env" \
    --file "$files/compose/compose.yaml" --file "$files/compose/compose.cloud.yaml" "$@"
}
