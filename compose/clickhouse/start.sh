# Start the server with the hash of the password: the configuration that it writes to its disk then holds no secret.
set -euo pipefail
hash_of() { sha256sum | cut -d ' ' -f 1; }

# A data node is given hashes alone.
if [[ -n ${LOGBROOK_CLICKHOUSE_PASSWORD:-} ]]; then
  CLICKHOUSE_PASSWORD_SHA256=$(printf %s "$LOGBROOK_CLICKHOUSE_PASSWORD" | hash_of)
fi
export CLICKHOUSE_PASSWORD_SHA256=${CLICKHOUSE_PASSWORD_SHA256:?neither a password nor the hash of one}
# For a limited user: the hash of the given password, else the given hash, else that of a password that nobody knows.
hash_for() {
  if [[ -n $1 ]]; then printf %s "$1" | hash_of; else echo "${2:-$(head -c 32 /dev/urandom | hash_of)}"; fi
}
CLICKHOUSE_READER_PASSWORD_SHA256=$(hash_for "${CLICKHOUSE_READONLY_PASSWORD:-}" "${CLICKHOUSE_READER_PASSWORD_SHA256:-}")
CLICKHOUSE_VIEWS_PASSWORD_SHA256=$(hash_for "${CLICKHOUSE_VIEWS_PASSWORD:-}" "${CLICKHOUSE_VIEWS_PASSWORD_SHA256:-}")
export CLICKHOUSE_READER_PASSWORD_SHA256
export CLICKHOUSE_VIEWS_PASSWORD_SHA256
# One process, which gets the signals: the watchdog is for machines without a restart policy.
export CLICKHOUSE_WATCHDOG_ENABLE=0
exec clickhouse-server --config-file=/etc/clickhouse-server/config.xml
