"""Conditional headers of rows and descriptions: weak, in whole seconds, as the REST API has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from tests.simulators.org_kit import LEVEL, OrgClient, error_of


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


@pytest.fixture
def path(org: OrgClient) -> str:
    """A record of its own."""
    return f"/sobjects/{LEVEL}/{org.level(org.new_level())['Id']}"


def test_a_reader_who_knows_the_record_is_told_so_and_no_more(org: OrgClient, path: str) -> None:
    """304 without a body for its own Last-Modified; the record for an earlier time."""
    first = org.call("GET", path)
    known = first.headers["Last-Modified"]
    again = org.call("GET", path, headers={"If-Modified-Since": known})
    assert (again.status_code, again.content, again.headers["Last-Modified"]) == (304, b"", known)
    earlier = http_date(parsedate_to_datetime(known) - timedelta(seconds=1))
    assert org.call("GET", path, headers={"If-Modified-Since": earlier}).json() == first.json()


def test_a_condition_that_fails_writes_nothing(org: OrgClient, path: str) -> None:
    """412 for a write on a state that is newer than the writer's; it goes through on the present one."""
    known = parsedate_to_datetime(org.call("GET", path).headers["Last-Modified"])
    stale, present = ({"If-Unmodified-Since": http_date(known - timedelta(seconds=each))} for each in (1, 0))
    refused = org.call("PATCH", path, {"Unit__c": "9"}, headers=stale)
    assert (refused.status_code, error_of(refused)["errorCode"]) == (412, "PRECONDITION_FAILED")
    assert org.call("GET", path, headers=stale).status_code == 412
    assert org.call("GET", path).json()["Unit__c"] is None
    assert org.call("PATCH", path, {"Unit__c": "9"}, headers=present).status_code == 204
    assert org.call("GET", path).json()["Unit__c"] == "9"


def test_a_time_that_is_none_is_refused_to_a_writer_and_ignored_for_a_reader(
    org: OrgClient, path: str
) -> None:
    """A writer relies on it, so that it must not be passed over."""
    headers = {"If-Unmodified-Since": "yesterday"}
    assert org.call("PATCH", path, {"Unit__c": "9"}, headers=headers).status_code == 400
    assert org.call("GET", path, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/sobjects", f"/sobjects/{LEVEL}/describe"])
def test_a_description_that_is_known_is_not_sent_again(org: OrgClient, path: str) -> None:
    """What clients that keep descriptions ask."""
    first = org.call("GET", path)
    assert org.call(
        "GET", path, headers={"If-Modified-Since": http_date(datetime(2020, 1, 1, tzinfo=UTC))}
    ).json()
    known = {"If-Modified-Since": first.headers["Last-Modified"]}
    assert org.call("GET", path, headers=known).status_code == 304
