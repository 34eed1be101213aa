# Healthy is: the broker answers a Metadata request and names at least one live broker, itself.
# Two packets over a socket instead of the command-line tools, which start a JVM for each check.
set -euo pipefail
exec 3<>/dev/tcp/127.0.0.1/29092
# Length 14; key 3 (Metadata), version 1, correlation id 1, empty client id, no topics.
printf '\0\0\0\016\0\003\0\001\0\0\0\001\0\0\0\0\0\0' >&3
# The answer: length, correlation id, number of brokers.
brokers=$(timeout 2 head -c 12 <&3 | od -A n -t u1 | { read -r -a bytes; echo "${bytes[11]:-0}"; })
[[ $brokers -ge 1 ]]
