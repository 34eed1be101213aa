# Alertmanager reads the token of its webhook from a file alone: here in memory.
set -eu
umask 077
printf %s "$LOGBROOK_TOKEN" > /tmp/token
unset LOGBROOK_TOKEN
exec /bin/alertmanager --config.file=/etc/alertmanager/alertmanager.yml --storage.path=/alertmanager --cluster.listen-address=
