"""ClickHouse -> HTTP: the read-only API and the log explorer's page."""
