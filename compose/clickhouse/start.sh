# Start the server with the hash of the password: the configuration that it writes to its disk then holds no secret.
set -euo pipefail
CLICKHOUSE_PASSWORD_SHA256=$(printf %s "$LOGBROOK_CLICKHOUSE_PASSWORD" | sha256sum | cut -d ' ' -f 1)
export CLICKHOUSE_PASSWORD_SHA256
# One process, which gets the signals: the watchdog is for machines without a restart policy.
export CLICKHOUSE_WATCHDOG_ENABLE=0
exec clickhouse-server --config-file=/etc/clickhouse-server/config.xml
