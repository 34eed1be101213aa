"""Alerts on what logs say: rules in a file, evaluated once all of a window is stored, delivered by Alertmanager."""
