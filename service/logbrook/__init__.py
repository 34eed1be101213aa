"""Logbrook: a centralized log platform. Sources -> gateway -> Kafka -> consumer -> ClickHouse -> query."""

__version__ = "0.1.0"
