"""Logbrook without Docker: the same processes as the Compose stack, run and watched by one small supervisor."""
