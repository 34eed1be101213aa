"""The answers' media types."""

_UTF8 = "; charset=UTF-8"
_TYPES = {
    "TabSeparated": "text/tab-separated-values" + _UTF8,
    "TSV": "text/tab-separated-values" + _UTF8,
    "CSV": "text/csv" + _UTF8 + "; header=absent",
    "CSVWithNames": "text/csv" + _UTF8 + "; header=present",
    "CSVWithNamesAndTypes": "text/csv" + _UTF8 + "; header=present",
    "XML": "application/xml" + _UTF8,
    "Markdown": "text/markdown" + _UTF8,
    "Values": "text/plain" + _UTF8,
    "Vertical": "text/plain" + _UTF8,
    "LineAsString": "text/plain" + _UTF8,
    "RawBLOB": "application/octet-stream",
    "Prometheus": "text/plain; version=0.0.4" + _UTF8,
}
_LINES = ("JSONEachRow", "JSONLines", "NDJSON", "JSONStringsEachRow", "JSONCompactEachRow", "JSONCompactStringsEachRow")


def content_type(format_: str) -> str:
    """The media type that a server gives to a result in this format."""
    if format_ in _TYPES:
        return _TYPES[format_]
    if format_.startswith(("TabSeparated", "TSV")):
        return _TYPES["TSV"]
    if format_.startswith("Pretty"):
        return "text/plain" + _UTF8
    if format_.startswith(_LINES):
        return "application/x-ndjson" + _UTF8
    if format_.startswith("JSON"):
        return "application/json" + _UTF8
    return "application/octet-stream"
