"""Whether a channel means another shop or place than before, and what becomes of what was known."""

from __future__ import annotations

import pytest

from sfsync.domain.mapping import Identity, Move, kept, move

AT = Identity("shop", {"online": "1", "outlet": "2"})


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (AT, Move()),
        (Identity("shop", {"online": "1", "outlet": "2", "third": "3"}), Move()),
        (Identity("shop", {"online": "1"}), Move()),
        (Identity("shop", {"web": "1", "outlet": "2"}), Move(renamed={"online": "web"})),
        (Identity("shop", {"online": "9", "outlet": "2"}), Move(left=frozenset({"online"}))),
        (Identity("shop", {"online": "2", "outlet": "1"}), Move(left=frozenset({"online", "outlet"}))),
        (Identity("shop", {"outlet": "1", "web": "2"}), Move(left=frozenset({"online", "outlet"}))),
        (Identity("shop", {"web": "9"}), Move(left=frozenset({"online", "outlet"}))),
        (Identity("other", AT.places), Move(another_shop=True, left=frozenset({"online", "outlet"}))),
    ],
)
def test_only_numbers_of_the_same_place_of_the_same_shop_are_kept(now: Identity, found: Move) -> None:
    """A name is only a name: what counts is the place that it stood for, and the one it stands for now."""
    assert move(AT, now) == found


def test_a_location_that_was_gone_and_comes_back_with_another_id_is_another_place() -> None:
    """Its old numbers are still kept; with the same id they hold again, and a new name drops the old one."""
    without = kept(AT, Identity("shop", {"online": "1"}))
    assert without == AT
    assert move(without, AT) == Move()
    assert move(without, Identity("shop", {"online": "1", "outlet": "3"})).left == {"outlet"}
    renamed = kept(without, Identity("shop", {"web": "1"}))
    assert renamed == Identity("shop", {"outlet": "2", "web": "1"})
    assert kept(AT, Identity("other", {"online": "9"})) == Identity("other", {"online": "9"})
