"""Made-up or real logs into the pipeline: what `logbrook produce` does."""
