"""ClickHouse's HTTP interface in front of the engine in chdb: `python -m native.front --data DIR --port PORT`.

It speaks the part of the server's protocol that clickhouse-connect, Grafana's data source and curl use, so everything
above it is the same with and without a ClickHouse server. It listens on loopback only.
"""
