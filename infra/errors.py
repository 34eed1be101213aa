"""The one error that a user of the program can cause."""


class StackError(Exception):
    """The stack's configuration can't be deployed. The message names the key and says what to do."""
