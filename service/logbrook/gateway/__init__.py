"""Bytes over HTTP to the topic."""
