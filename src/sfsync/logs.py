"""Logs: one line tells a whole attempt. JSON for machines, a console for people; on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import orjson
import structlog


def configure(form: Literal["auto", "json", "console"], level: str) -> None:
    """Set up structlog and the libraries' own logging alike."""
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(
            serializer=lambda value, **_: orjson.dumps(value, default=str).decode()
        )
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    tracebacks: list[structlog.typing.Processor] = [structlog.processors.format_exc_info] if as_json else []
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, *tracebacks, last],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, *tracebacks], processors=[_own_line_or(last)]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("sfsync").setLevel(level.upper())


def beside() -> None:
    """Let what goes wrong be told on standard error, beside what a command prints. The daemon says more."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        cache_logger_on_first_use=False,
    )


def _own_line_or(render: structlog.typing.Processor) -> structlog.typing.Processor:
    """Our lines are rendered already; those of libraries are rendered here."""

    def process(
        logger: structlog.typing.WrappedLogger, name: str, event: structlog.typing.EventDict
    ) -> structlog.typing.ProcessorReturnValue:
        record = event.pop("_record", None)
        event.pop("_from_structlog", None)
        if record is not None and record.name.startswith("sfsync"):
            return str(event["event"])
        return render(logger, name, event)

    return process
