"""`logbrook doctor`: looks at a deployment from where it stands, and says what is wrong, where, and what to change.

A module for each hop. Its checks are plain functions from a Place to an Answer; checks.py says in which order they run.
"""
