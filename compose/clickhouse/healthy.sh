# Healthy is: ClickHouse's HTTP interface answers /ping.
set -euo pipefail
exec 3<>/dev/tcp/127.0.0.1/8123
printf 'GET /ping HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
timeout 2 grep -q '^Ok\.' <&3
