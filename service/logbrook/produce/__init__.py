"""Sends sample logs or log files into the pipeline: what `logbrook produce` does."""
