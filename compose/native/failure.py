"""What a person is told when something can't be done."""


class Failure(Exception):  # noqa: N818 - it is what is shown, not a programming error
    """What went wrong, and what to do about it."""

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.what, self.advice = what, advice
