"""The processes' own logs: one JSON object per line on standard error, with the names that the pipeline reads."""

import logging
import os
import sys
from typing import TextIO, cast

import structlog

from logbrook import config
from logbrook.errors import ConfigError

_MAX_FILE_BYTES = 4 * 2**20


def configure(service: str) -> None:
    """Set up structlog and the standard library's logging for the process `service`."""
    settings = config.load(config.Log)
    level = logging.getLevelNamesMapping().get(settings.level.upper())
    if level is None:
        raise ConfigError(f"LOGBROOK_LOG_LEVEL: {settings.level!r} is not one of DEBUG, INFO, WARNING, ERROR")
    stream = cast(TextIO, _Copied(settings.file)) if settings.file else sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        lambda _logger, _method, event: {"service": service, **event},
    ]
    final: structlog.typing.Processor
    if settings.format == "console":
        final = structlog.dev.ConsoleRenderer()
    else:
        shared.append(structlog.processors.format_exc_info)
        shared.append(structlog.processors.EventRenamer("message"))
        final = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, final]
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)


class _Copied:
    """Standard error, and a copy in a bounded file that several processes can share.

    The copy matters less: if it can't be written, only the copy is missing.
    """

    def __init__(self, path: str) -> None:
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(f"LOGBROOK_LOG_FILE: {path}: {error.strerror}") from None

    def write(self, text: str) -> int:
        """Write to both."""
        try:
            # Truncated, not renamed: the writers need not agree on who does it, and a follower notices.
            if os.fstat(self._file).st_size > _MAX_FILE_BYTES:
                os.truncate(self._file, 0)
            os.write(self._file, text.encode())
        except OSError:
            pass
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush standard error; the file has no buffer."""
        sys.stderr.flush()
