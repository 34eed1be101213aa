"""`logbrook doctor`: checks a deployment from where it is run, and says what is wrong, where, and what to change.

checks.py lists the checks, which are plain functions of a Place; diagnoses.md has everything that they can find.
"""
