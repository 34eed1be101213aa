"""From a request to the statement to run: its text comes from URL and body, an INSERT's data goes to a file."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from native.front import body, request, sql
from native.front.errors import EngineError
from native.front.multipart import Form
from native.front.request import Request
from native.front.statement import Statement

# The HTTP codings that the engine itself writes, best first.
_RESULT_CODECS = ("zstd", "lz4", "gzip", "deflate")


async def read(asked: Request, receive: body.Receive, directory: Path, stack: contextlib.ExitStack) -> Statement:
    """Read all of the request. Files live as long as the stack. Raises ClientLeftError, EngineError."""
    source = body.chunks(receive) if asked.method == "POST" else _nothing()
    codec = asked.headers.get("content-encoding", "").strip().lower() or None
    in_blocks = asked.flag("decompress")
    text = asked.url.get("query", "").encode("utf-8", "surrogateescape")
    content_type = asked.headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        form = Form(content_type, directory, stack)
        await form.read(body.inflated(source, codec, in_blocks=in_blocks))
        fields = {name: value.decode("utf-8", "surrogateescape") for name, value in form.fields.items()}
        return _from_form({**asked.url, **fields}, asked, form)
    insert = sql.insert(text)
    all_data = insert is not None and not text[insert.data_at :].strip()
    if insert is not None and all_data and codec in body.ENGINE_CODECS and not in_blocks:
        # All of the body is data: the engine itself inflates it.
        rest, data_codec = b"", body.ENGINE_CODECS[codec]
    elif insert is not None and all_data:
        source, rest, data_codec = body.inflated(source, codec, in_blocks=in_blocks), b"", "none"
    else:
        source, data_codec = body.inflated(source, codec, in_blocks=in_blocks), "none"
        text, complete = await _head(text, source, _longest_statement(asked))
        insert = sql.insert(text)
        if insert is None:
            if not complete:
                raise EngineError(62, "Syntax error: Max query size exceeded (can be increased with max_query_size)")
            return _statement(asked, text)
        rest = text[insert.data_at :]
    spool = stack.enter_context(body.Spool(directory, int(asked.headers.get("content-length") or 0)))
    spool.write(rest)
    async for chunk in source:
        spool.write(chunk)
    return _statement(asked, text[: insert.data_at], insert, (str(spool.path), data_codec))


def _from_form(options: dict[str, str], asked: Request, form: Form) -> Statement:
    """The statement of a form; its fields count as URL parameters, except those that describe its files."""
    text = options.get("query", "").encode("utf-8", "surrogateescape")
    if sql.insert(text) is not None:
        raise EngineError(48, "INSERT with its data in multipart/form-data is not supported: send it as the body")
    if form.files and asked.rights:
        # Their structure is a part of a statement which runs before the user's own is checked.
        raise EngineError(497, f"{asked.rights}: Not enough privileges: external tables")
    described = {f"{name}_{what}" for name in form.files for what in ("structure", "types", "format")}
    settings, parameters = request.split({name: text for name, text in options.items() if name not in described})
    asked = replace(asked, settings=settings, parameters=parameters)
    return replace(_statement(asked, text), externals=form.externals(options))


def _statement(
    asked: Request,
    text: bytes,
    insert: sql.Insert | sql.InsertFromInput | None = None,
    data: tuple[str, str] | None = None,
) -> Statement:
    settings = dict(asked.settings)
    compression = None
    if settings.pop("enable_http_compression", "0") not in ("0", "false"):
        accepted = {each.split(";")[0].strip() for each in asked.headers.get("accept-encoding", "").split(",")}
        compression = next((codec for codec in _RESULT_CODECS if codec in accepted), None)
    in_blocks = settings.get("network_compression_method", "LZ4") if asked.flag("compress") else None
    readonly = _number("readonly", settings.pop("readonly", "0")) or (0 if asked.method == "POST" else -1)
    return Statement(
        text=text,
        query_id=asked.query_id,
        default_format=asked.default_format,
        parameters=asked.parameters,
        settings=settings,
        database=asked.database,
        readonly=readonly,
        rights=asked.rights,
        compression=None if in_blocks else compression,
        in_blocks=in_blocks,
        protocol_version=_number("client_protocol_version", asked.url.get("client_protocol_version", "0")),
        insert=insert,
        data=data,
    )


def _longest_statement(asked: Request) -> int:
    text = asked.settings.get("max_query_size", str(body.MAX_STATEMENT_BYTES))
    return min(_number("max_query_size", text), 64 * body.MAX_STATEMENT_BYTES)


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise EngineError(36, f"{name} must be a number, not '{text}'")
    return int(text)


async def _nothing() -> AsyncIterator[bytes]:
    for piece in list[bytes]():
        yield piece


async def _head(text: bytes, source: AsyncIterator[bytes], limit: int) -> tuple[bytes, bool]:
    """The statement's text, up to the size limit, and whether that was all of the body."""
    pieces, size = ([text, b"\n"], len(text) + 1) if text else ([], 0)
    while size <= limit:
        piece = await anext(source, None)
        if piece is None:
            return b"".join(pieces), True
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), False
