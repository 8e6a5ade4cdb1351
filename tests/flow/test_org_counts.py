"""Counts made as records in the org: each is entered once, and its record says what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.flow.kit import Fates, House, house
from tests.flow.test_counts import long_ago

from sfsync.domain.counts import Believed, Count
from sfsync.domain.org_counts import CountTold, OrgCount, Status, count_id
from sfsync.domain.stock import LevelKey
from sfsync.flow.counts import Counts
from sfsync.flow.org_counts import Counting, OrgCounts
from sfsync.ports import CountAnswer, CountFate, OutsideError, TryLater, Unknown

BAG, BELT = "BAG-1|ECOM", "BELT-1|ECOM"


class LittleBook(Fates):
    """Records in memory. What is written to one changes it, as in the org."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self.now = now
        self.records: dict[str, OrgCount] = {}
        self.changed: dict[str, datetime] = {}
        self.copies: dict[str, CountTold] = {}  # by the count's subject
        self.calls: list[int] = []  # how many records each told
        self.refuses: set[str] = set()  # records that a validation of the house keeps as they are

    def count(self, number: str, counted: float, *, hours_ago: float = 1.0, place: str = BAG) -> None:
        """Somebody saves a record."""
        sku, _, location = place.partition("|")
        at = self.now.replace(microsecond=0) - timedelta(hours=hours_ago)
        self.edit(OrgCount(number, sku, location, "", "", counted, at, "Amina", status="New"))

    def edit(self, record: OrgCount) -> None:
        self.records[record.record_id] = record
        self.changed[record.record_id] = self.now

    def says(self, number: str) -> tuple[str, int | None, int | None, bool]:
        record = self.records[number]
        return record.status, record.expected, record.variance, bool(record.message)

    async def changed_since(self, at: datetime) -> AsyncIterator[Sequence[OrgCount]]:
        yield [self.records[number] for number, when in self.changed.items() if when >= at]

    async def unanswered(self) -> AsyncIterator[Sequence[OrgCount]]:
        yield [record for record in self.records.values() if record.status in ("New", "Mistake")]

    async def tell(self, told: Sequence[CountTold]) -> Sequence[CountAnswer]:
        answers: list[CountAnswer] = self.meet(lambda: [self._write(each) for each in told])
        self.calls.append(len(told))
        return answers

    def _write(self, told: CountTold) -> CountAnswer:
        if told.record_id in self.refuses:
            return CountAnswer(CountFate.REFUSED, "FIELD_CUSTOM_VALIDATION_EXCEPTION: not on a Sunday")
        if not told.record_id:
            assert told.count is not None
            self.copies[told.count.subject] = told
            return CountAnswer(CountFate.WRITTEN)
        record = self.records.get(told.record_id)
        if record is None:
            return CountAnswer(CountFate.GONE)
        record = replace(record, status=told.status.value, message=told.message)
        if told.count is not None and told.variance is not None:
            record = replace(
                record,
                expected=told.count.units - told.variance,
                variance=told.variance,
                movement=told.count.subject,
                recount=told.recount,
            )
        self.edit(record)
        return CountAnswer(CountFate.WRITTEN)


def follower(h: House, book: LittleBook, *, copies: bool = True) -> OrgCounts:
    return OrgCounts(h.ctx, book, h.supervisor.counts, Counting(copies=copies))


def told_to_the_ledger(h: House, number: str) -> list[int]:
    return [units for _, units, _ in h.org.of(f"count:{count_id(number)}:")]


async def test_a_record_is_entered_once_and_told_what_the_books_had() -> None:
    """Four counted of five, five of five; looked at again and again, nothing more is entered or written."""
    async with house({BAG: 5, BELT: 5}) as h:
        long_ago(h)
        h.org.age(days=2)
        book = LittleBook(h.clock.now())
        book.count("A", 4)
        book.count("B", 5, place=BELT)
        counting = follower(h, book)
        for _ in range(3):
            await counting.look()
        assert (book.says("A")[0], book.says("B")[0]) == ("Entered", "Entered")
        assert book.says("A")[2] == told_to_the_ledger(h, "A")[0]
        assert (len(told_to_the_ledger(h, "A")), len(told_to_the_ledger(h, "B"))) == (1, 1)
        assert book.calls == [2]
        assert book.copies == {}
        book.count("C", 3, hours_ago=0.5)
        await counting.look()
        assert book.records["C"].recount
        assert not book.records["A"].recount


@pytest.mark.parametrize("fate", ["lost", "reply lost", "refused", "kill"])
async def test_an_answer_that_did_not_get_through_is_given_again_and_enters_nothing_twice(fate: str) -> None:
    """The count is in the ledger; only its record does not know yet, over a kill as well."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        book = LittleBook(h.clock.now())
        book.count("A", 4)
        book.next.append("lost" if fate == "kill" else fate)
        with pytest.raises(OutsideError):
            await follower(h, book).look()
        assert len(told_to_the_ledger(h, "A")) == 1
        if fate == "kill":
            await h.kill()
            await h.start()
            await h.idle()
        counting = follower(h, book)
        await counting.look()
        await counting.look()
        assert book.says("A")[0] == "Entered"
        assert len(told_to_the_ledger(h, "A")) == 1


async def test_a_mistake_stays_on_its_record_and_enters_nothing_until_it_is_corrected() -> None:
    """An unknown SKU, less than nothing, and a good one between them, which is entered."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        book = LittleBook(h.clock.now())
        book.count("A", 4, place="GLOVE-1|ECOM")
        book.count("B", 4)
        book.count("C", -1)
        counting = follower(h, book)
        await counting.look()
        await counting.look()
        assert [book.says(number)[0] for number in "ABC"] == ["Mistake", "Entered", "Mistake"]
        assert "no stock level GLOVE-1|ECOM" in book.records["A"].message
        assert "-1 cannot have been counted" in book.records["C"].message
        assert book.calls == [3]
        book.edit(replace(book.records["A"], sku="BAG-1"))
        await counting.look()
        assert book.says("A")[0] == "Entered"
        assert (told_to_the_ledger(h, "C"), len(told_to_the_ledger(h, "A"))) == ([], 1)


async def test_a_record_that_nobody_believes_is_a_mistake_until_somebody_says_that_it_is_so() -> None:
    """A nought too many, and a month mistyped. What the org dated itself is true, however late it is read."""
    async with house({BAG: 5, BELT: 2}) as h:
        long_ago(h, days=40)
        now = h.clock.now()
        book = LittleBook(now)
        book.count("A", 10_001)
        book.count("B", 2, place=BELT)
        book.edit(replace(book.records["B"], at=now - timedelta(days=31)))
        await follower(h, book).look()
        assert [book.says(number)[0] for number in "AB"] == ["Mistake", "Mistake"]
        assert "more than the 10,000 believed. Correct the number; or" in book.records["A"].message
        assert "31 days ago" in book.records["B"].message
        book.edit(replace(book.records["B"], lacks=frozenset({"at"})))
        house_knows = replace(h.ctx.assortment, counts=Believed(most_units=20_000))
        counts = Counts(replace(h.ctx, assortment=house_knows), h.supervisor.writer)
        await OrgCounts(h.ctx, book, counts, Counting()).look()
        assert [book.says(number)[0] for number in "AB"] == ["Entered", "Entered"]


async def test_a_record_edited_after_it_was_taken_up_enters_nothing_more() -> None:
    """Also when it is edited between entering and answer, and names another bag: the first count stands."""
    async with house({BAG: 5, BELT: 5}) as h:
        long_ago(h)
        book = LittleBook(h.clock.now())
        book.count("A", 4)
        book.next.append("lost")
        with pytest.raises(Unknown):
            await follower(h, book).look()
        book.edit(replace(book.records["A"], sku="BELT-1", counted=2.0))
        counting = follower(h, book)
        await counting.look()
        await counting.look()
        assert (book.says("A")[0], "Entered was: 4 counted of BAG-1|ECOM" in book.records["A"].message) == (
            "Changed",
            True,
        )
        assert told_to_the_ledger(h, "A") == [book.records["A"].variance]
        book.edit(replace(book.records["A"], sku="BAG-1", counted=4.0))
        await counting.look()
        assert (book.says("A")[0], book.records["A"].message) == ("Entered", "")


async def test_counts_made_elsewhere_are_written_to_the_org_once_and_where_it_is_wanted() -> None:
    """A sheet's count has a record of its own there; it is none that would be taken up again."""
    async with house({BAG: 5, BELT: 5}) as h:
        long_ago(h)
        book = LittleBook(h.clock.now())
        at = h.clock.now().replace(microsecond=0) - timedelta(hours=1)
        for number, place in enumerate((BAG, BELT)):
            await h.supervisor.counts.enter(
                Count(f"sheet-{number}", LevelKey.parse(place), 4, at, "", "Amina")
            )
        await follower(h, book, copies=False).look()
        assert (book.copies, book.calls) == ({}, [])
        counting = follower(h, book)
        for _ in range(2):
            await counting.look()
        assert book.calls == [2]
        told = [(each.status, each.count and each.count.counted_by) for each in book.copies.values()]
        assert told == [(Status.ENTERED, "Amina"), (Status.ENTERED, "Amina")]
        for told_of in book.copies.values():
            assert h.org.of(told_of.count.subject if told_of.count else "") != []


async def test_a_record_that_the_org_will_not_change_is_set_aside_and_keeps_no_other() -> None:
    """Its count is in the ledger all the same; the letter goes once the record took it."""
    async with house({BAG: 5, BELT: 5}) as h:
        long_ago(h)
        book = LittleBook(h.clock.now())
        book.count("A", 4)
        book.count("B", 5, place=BELT)
        book.refuses.add("A")
        counting = follower(h, book)
        await counting.look()
        await counting.look()
        assert (book.says("A")[0], book.says("B")[0], book.calls) == ("New", "Entered", [2])
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert (letter.source, letter.key, "not on a Sunday" in letter.reason) == ("counts", "A", True)
        book.refuses.clear()
        await follower(h, book).look()  # as after a restart
        assert book.says("A")[0] == "Entered"
        assert await h.store.read(lambda tx: tx.dead_letters()) == []
        assert len(told_to_the_ledger(h, "A")) == 1


async def test_a_count_waits_where_the_org_does_not_answer_and_is_no_mistake() -> None:
    """Its record stays new, and is taken up once the org is there."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        book = LittleBook(h.clock.now())
        book.count("A", 4)
        h.org.cut_off = True
        counting = follower(h, book)
        await counting.look()
        assert book.says("A") == ("New", None, None, False)
        h.org.cut_off = False
        await counting.look()
        assert book.says("A")[0] == "Entered"


async def test_a_lost_store_enters_no_record_again() -> None:
    """What the ledger holds under its id is found there; what its record says of itself is believed."""
    async with house({BAG: 5, BELT: 5}) as h:
        long_ago(h)
        book = LittleBook(h.clock.now())
        book.count("A", 4)
        book.count("B", 5, place=BELT)
        book.next.append("lost")
        with pytest.raises((Unknown, TryLater)):
            await follower(h, book).look()
        book.edit(replace(book.records["B"], status="Entered", expected=5, variance=0))
        await h.kill()
        h.forget_everything()
        await h.start()
        await h.idle()
        await follower(h, book).look()
        assert (book.says("A")[0], book.says("B")[0]) == ("Entered", "Entered")
        assert (len(told_to_the_ledger(h, "A")), len(told_to_the_ledger(h, "B"))) == (1, 1)
