# Alertmanager reads the token of its webhook from a file alone: here in memory. On the data node, its configuration with
# whatever secrets it needs is a file of its own.
set -eu
umask 077
printf %s "$LOGBROOK_TOKEN" > /tmp/token
unset LOGBROOK_TOKEN
exec /bin/alertmanager --config.file="${LOGBROOK_ALERTMANAGER_CONFIG_FILE:-/etc/alertmanager/alertmanager.yml}" --storage.path=/alertmanager --cluster.listen-address=
