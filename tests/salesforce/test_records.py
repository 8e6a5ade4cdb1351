"""Record ids are remembered in a few bits each."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from sfsync.salesforce.records import RecordIds

SIGNS = st.sampled_from(string.digits + string.ascii_letters)
# Few beginnings, so that neighbours and repetitions are many; what differs in case is another record.
IDS = st.builds(
    lambda common, last: f"a00{common * 11}{last}AAA", st.sampled_from(["0", "7", "a", "A"]), SIGNS
)


@given(st.lists(st.lists(IDS, max_size=20), max_size=8))
def test_each_record_is_new_once(pages: list[list[str]]) -> None:
    """Page by page, as a plain set of their ids would tell."""
    ids, seen = RecordIds(), set[str]()
    for page in pages:
        assert ids.new_among(page) == set(page) - seen
        seen.update(page)
