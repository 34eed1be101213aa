"""Errors in ClickHouse's own words and codes, and the HTTP status for each."""

import re

_NAMES = {
    36: "BAD_ARGUMENTS",
    48: "NOT_IMPLEMENTED",
    62: "SYNTAX_ERROR",
    164: "READONLY",
    194: "REQUIRED_PASSWORD",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    344: "SUPPORT_IS_DISABLED",
    354: "ZLIB_INFLATE_FAILED",
    372: "SESSION_NOT_FOUND",
    373: "SESSION_IS_LOCKED",
    374: "INVALID_SESSION_TIMEOUT",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
}

# The server's mapping. Anything else is a 500.
_STATUS = (
    {194: 401, 192: 403, 193: 403, 512: 403, 516: 403, 159: 408, 381: 411, 48: 501, 209: 503, 439: 503, 202: 503}
    | dict.fromkeys((6, 25, 26, 27, 36, 38, 41, 53, 62, 72, 117, 167, 168, 223, 354, 374, 376, 427, 441, 456, 457), 400)
    | dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 178, 336, 372), 404)
)

_TEXT = re.compile(
    r"^(?:Code: (?P<code>\d+)\. DB::\w*Exception: )+(?P<message>.*?) \((?P<name>[A-Z0-9_]+)\)\s*$", re.DOTALL
)
_NESTED = re.compile(r"^(?:Code: \d+\. DB::\w*Exception: )+")
# A wrapped error ends with its own code's name and the version, then again with the name.
_WRAPPED = re.compile(r" \([A-Z0-9_]+\)(?: \(version [^)]*\))?\.?$")


class EngineError(Exception):
    """An error with ClickHouse's code; its `str` is the text that a server would return."""

    def __init__(self, code: int, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.name = name or _NAMES.get(code, "UNKNOWN_EXCEPTION")

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return _STATUS.get(self.code, 500)

    def text(self, version: str) -> str:
        """The body of the answer."""
        return f"Code: {self.code}. DB::Exception: {self.message} ({self.name}) (version {version})\n"


def from_engine(error: Exception) -> EngineError:
    """The engine's exception, which has its code only in its text, as an EngineError."""
    # If a statement is not UTF-8, neither is the text of its error.
    text = error.object.decode(errors="replace") if isinstance(error, UnicodeDecodeError) else str(error)
    match = _TEXT.match(text)
    if match is None:
        return EngineError(1002, text, "UNKNOWN_EXCEPTION")
    message = _WRAPPED.sub("", _NESTED.sub("", match["message"]))
    return EngineError(int(match["code"]), message, match["name"])
