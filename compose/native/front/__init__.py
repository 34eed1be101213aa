"""ClickHouse's HTTP interface in front of the engine in chdb: `python -m native.front --data DIR --port PORT`.

It speaks what clickhouse-connect, Grafana's data source and curl use of the server's protocol, so that everything
above it is the same with and without a ClickHouse server. It listens on loopback only.
"""
