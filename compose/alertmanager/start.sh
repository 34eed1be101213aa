# Alertmanager reads its webhook's token only from a file: here, one in memory. On the data node, another configuration
# is mounted, with its secrets in it.
set -eu
umask 077
printf %s "$LOGBROOK_TOKEN" > /tmp/token
unset LOGBROOK_TOKEN
exec /bin/alertmanager --config.file="${LOGBROOK_ALERTMANAGER_CONFIG_FILE:-/etc/alertmanager/alertmanager.yml}" --storage.path=/alertmanager --cluster.listen-address=
