"""The topic to ClickHouse."""
