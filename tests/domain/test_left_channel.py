"""What is said of channels that were taken out of the settings."""

from __future__ import annotations

from sfsync.domain.left_channel import LeftChannel, sentences

PARIS = LeftChannel("paris", 77, 1, 0, 0, 2)
ROME = LeftChannel("rome", 5, 0, 0, 0, 0)


def test_a_few_are_told_one_by_one_with_what_is_kept_of_each() -> None:
    """And by which words each is ended."""
    first, second = sentences([PARIS, ROME])
    assert first == (
        "paris is not in the settings any more, and sfsync keeps 77 numbers, 1 dead letter and 2 open order "
        "lines of it: bring it back, or end it by `sfsync channel forget paris`."
    )
    assert second.startswith("rome is not in the settings any more, and sfsync keeps 5 numbers of it: ")


def test_many_are_told_at_once() -> None:
    """Thirty channels that were taken out by mistake are one finding, not thirty."""
    (told,) = sentences([PARIS, *(LeftChannel(f"market-{number}", 5, 0, 1, 0, 0) for number in range(4))])
    assert told == (
        "5 channels (paris, market-0, market-1 and 2 more) are not in the settings any more, and sfsync "
        "keeps 97 numbers, 1 dead letter, 4 drifts and 2 open order lines of them: bring them back, or end "
        "each by `sfsync channel forget`."
    )
