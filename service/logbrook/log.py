"""The processes' own logs: one JSON object a line on standard error, in the names that the pipeline itself reads."""

import logging
import sys

import structlog

from logbrook import config
from logbrook.errors import ConfigError


def configure(service: str) -> None:
    """Set up structlog and the standard library's logging for the process `service`."""
    settings = config.load(config.Log)
    level = logging.getLevelNamesMapping().get(settings.level.upper())
    if level is None:
        raise ConfigError(f"LOGBROOK_LOG_LEVEL: {settings.level!r} is none of DEBUG, INFO, WARNING, ERROR")
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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, final]
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
