"""`If-Modified-Since` and `If-Unmodified-Since` on rows and descriptions: whole seconds, as HTTP has them.

They are weak: two changes within one second look like one. Nothing that must be exact can be built on them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from sfsync.simulators.org.errors import ApiError
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse

_SINCE = "if-modified-since"
_UNLESS = "if-unmodified-since"


def unchanged(request: ApiRequest, modified: datetime) -> ApiResponse | None:
    """The empty 304 for a reader who has this state already; None when the whole answer is due.

    Raises 412 when it must not have changed and has. A header that is no HTTP date is ignored for a reader.
    """
    _check_unmodified(request, modified, strict=False)
    since = _moment(request, _SINCE, strict=False)
    if since is None or _second(modified) > since:
        return None
    return ApiResponse(304, headers=last_modified(modified))


def check_write(request: ApiRequest, modified: datetime) -> None:
    """Raises 412 for a writer whose condition fails, and 400 for a header that is no HTTP date."""
    _check_unmodified(request, modified, strict=True)
    since = _moment(request, _SINCE, strict=True)
    if since is not None and _second(modified) <= since:
        raise _failed(_SINCE)


def last_modified(modified: datetime) -> dict[str, str]:
    """The header that tells a state's time."""
    return {"Last-Modified": format_datetime(_second(modified), usegmt=True)}


def _check_unmodified(request: ApiRequest, modified: datetime, *, strict: bool) -> None:
    limit = _moment(request, _UNLESS, strict=strict)
    if limit is not None and _second(modified) > limit:
        raise _failed(_UNLESS)


def _failed(header: str) -> ApiError:
    return ApiError(412, "PRECONDITION_FAILED", f"The condition of the header {header} is not met")


def _moment(request: ApiRequest, header: str, *, strict: bool) -> datetime | None:
    text = request.headers.get(header)
    if text is None or request.transaction is not None:  # a composite's headers are not those of its parts
        return None
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError as error:
        if not strict:
            return None
        raise ApiError(400, "INVALID_HEADER", f"{header} has to be an HTTP date, not {text!r}") from error


def _second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
