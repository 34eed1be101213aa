"""`python -m logbrook` is `logbrook`."""

from logbrook.cli import main

main()
