# Healthy is: ZooKeeper answers `srvr` with its role. A server that still starts says that it serves no requests.
set -euo pipefail
exec 3<>/dev/tcp/127.0.0.1/2181
printf srvr >&3
timeout 2 grep -q '^Mode: ' <&3
