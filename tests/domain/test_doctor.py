"""What an examination concludes from what it has read, as tables."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sfsync.domain import doctor
from sfsync.domain.doctor import Allowance, Listed, Member
from sfsync.domain.findings import Finding, Severity, worst
from sfsync.domain.forecast import forecast

GOOD, WARNING, FATAL = Severity.GOOD, Severity.WARNING, Severity.FATAL
SECOND = timedelta(seconds=1)
OURS = {"SfsyncStock__chn": ["StockMovement__ChangeEvent"]}


@pytest.mark.parametrize(
    ("offset", "uncertain", "severity", "says"),
    [
        (0.0, 0.5, GOOD, "agrees"),
        (5.4, 0.5, GOOD, "agrees"),  # the answer itself may have taken that long
        (7.0, 0.5, WARNING, "6 s behind the org's"),
        (-20.0, 1.0, WARNING, "19 s ahead of the org's"),
        (-3600.0, 1.0, FATAL, "ahead of the org's"),
        (70.0, 30.0, WARNING, "40 s behind"),
    ],
)
def test_a_clock_is_only_blamed_for_more_than_the_measuring_may_have_cost(
    offset: float, uncertain: float, severity: Severity, says: str
) -> None:
    """A slow answer makes no wrong clock."""
    finding = doctor.clock_finding(offset * SECOND, uncertain * SECOND)
    assert finding.severity is severity
    assert says in finding.what


@pytest.mark.parametrize(
    ("allowed", "left", "measured", "movements", "severity"),
    [
        (100_000, 99_000, 900, 0, GOOD),
        (100_000, 99_000, 70_000, 0, WARNING),  # of the 80,000 that are ours
        (100_000, 99_000, None, 20_000, GOOD),
        (100_000, 99_000, None, 40_000, WARNING),
        (100_000, 15_000, 10, 0, WARNING),  # others use them up
        (100_000, 0, 10, 0, FATAL),
    ],
)
def test_calls_suffice_or_not_by_what_is_used_or_at_the_orgs_own_pace(
    allowed: int, left: int, measured: int | None, movements: int, severity: Severity
) -> None:
    """What was measured counts; without it twice the day's movements, and what an idle day costs."""
    finding = doctor.calls_finding(Allowance(allowed, left), 20, measured, movements)
    assert finding.severity is severity
    assert bool(finding.remedy) == (severity is not GOOD)


@pytest.mark.parametrize(
    ("allowance", "movements", "severity"),
    [
        (Allowance(25_000, 24_000), 1_000, GOOD),
        (Allowance(25_000, 24_000), 21_000, WARNING),
        (Allowance(25_000, 4_000), 0, WARNING),
        (Allowance(25_000, 0), 0, FATAL),
        (None, 0, WARNING),
    ],
)
def test_deliveries_suffice_or_not(allowance: Allowance | None, movements: int, severity: Severity) -> None:
    """Every subscriber's deliveries count; an org that does not tell them is a warning."""
    assert doctor.deliveries_finding(allowance, movements).severity is severity


def test_an_org_that_fills_up_is_told_with_the_fold() -> None:
    """Room for a year is good, room for a week is a warning, no room is fatal."""
    (good,) = doctor.space_findings(forecast((1_024, 1_000), {"A": 600}, {"A": 500}))
    assert (good.severity, good.remedy) == (GOOD, "")
    (short,) = doctor.space_findings(forecast((1_024, 1), {"A": 600}, {"A": 500}))
    assert (short.severity, short.remedy) == (WARNING, "sfsync ledger fold")
    assert short.why
    (full,) = doctor.space_findings(forecast((1_024, 0), {"A": 600}, {"A": 500}))
    assert (full.severity, "0 of 1,024 MB left" in full.what) == (FATAL, True)
    assert "Storage Usage" in full.remedy


@pytest.mark.parametrize(
    ("members", "severities", "says"),
    [
        ([("SfsyncStock__chn", "StockMovement__ChangeEvent")], [GOOD, GOOD], "1 of 5"),
        ([("SfsyncStock", "StockMovement__ChangeEvent")], [GOOD, GOOD], "1 of 5"),  # as its developer name
        ([("ChangeEvents", "StockMovement__ChangeEvent")], [FATAL, GOOD], "does not carry StockMovement"),
        ([], [FATAL, GOOD], "does not carry StockMovement"),
        (
            [("SfsyncStock__chn", "StockMovement__ChangeEvent")]
            + [("ChangeEvents", f"Thing{n}__ChangeEvent") for n in range(5)],
            [GOOD, WARNING],
            "6 of 5",
        ),
        (
            [
                ("SfsyncStock__chn", "StockMovement__ChangeEvent"),
                ("ChangeEvents", "StockMovement__ChangeEvent"),
            ],
            [GOOD, GOOD],
            "1 of 5",  # counted once over all channels
        ),
    ],
)
def test_a_channel_must_carry_what_we_follow_and_five_entities_are_free(
    members: list[tuple[str, str]], severities: list[Severity], says: str
) -> None:
    """By whichever of its two spellings the org names them."""
    found = doctor.member_findings([Member(*each) for each in members], OURS)
    assert [each.severity for each in found] == severities
    assert any(says in each.what for each in found)


def test_members_that_the_org_does_not_show_are_a_warning() -> None:
    """Nothing is concluded from what cannot be seen."""
    (finding,) = doctor.member_findings(None, OURS)
    assert finding.severity is WARNING
    assert "View Setup" in finding.remedy


def items(*rows: Listed, **elsewhere: str) -> list[tuple[Severity, str]]:
    in_org = {sku: {"ECOM"} for sku in ("BAG", "HAT", "BELT")} | {sku: {at} for sku, at in elsewhere.items()}
    found = doctor.map_findings("london", rows, in_org, {"ECOM", "DUBAI"}, {("i1", "online"): "BAG"})
    for each in found:
        assert each.severity is GOOD or (each.why and each.remedy), each
    return [(each.severity, each.what) for each in found]


def test_a_sku_without_stock_anywhere_is_told_apart_from_one_whose_stock_is_elsewhere() -> None:
    """The one needs a stock level, the other a location in the settings, or a transfer."""
    rows = [Listed(sku, "online", f"i{n}") for n, sku in enumerate(("BAG", "HAT", "BELT", "NEW", "TIE"), 1)]
    assert items(*rows, TIE="MAYFAIR") == [
        (WARNING, "one SKU of london is listed and has no stock level anywhere in the org: NEW"),
        (
            WARNING,
            "one SKU of london is listed and has its stock only where london does not sell from "
            "(it sells from DUBAI, ECOM): TIE (MAYFAIR)",
        ),
        (GOOD, "3 SKUs of london have a stock level in the org"),
    ]


def test_one_sku_that_is_not_listed_is_told_as_one() -> None:
    """All of its verbs are those of one."""
    rows = [Listed(sku, "online", f"i{n}") for n, sku in enumerate(("BAG", "HAT"), 1)]
    assert items(*rows)[0] == (GOOD, "one SKU of london has stock in the org and is not listed: BELT")


def test_an_item_that_was_renamed_is_told_once_and_not_as_missing_too() -> None:
    """Its old name is not missing and its new one not unknown: one finding says both."""
    hat, belt = Listed("HAT", "online", "i2"), Listed("BELT", "online", "i3")
    assert items(Listed("BAG-II", "online", "i1"), hat, belt) == [
        (WARNING, "one SKU of london was renamed since sfsync last read them: BAG → BAG-II"),
        (GOOD, "2 SKUs of london have a stock level in the org"),
    ]


def test_an_item_without_a_number_matters_only_where_the_org_has_stock_of_it() -> None:
    """What is no business of ours is listed as unknown, and not as untracked or for sale without stock."""
    strange = Listed("GIFT", "online", "i9", tracked=False, oversell_allowed=True)
    rows = [Listed(sku, "online", f"i{n}") for n, sku in enumerate(("BAG", "HAT", "BELT"), 1)]
    assert [each for each, _ in items(strange, *rows)] == [WARNING, GOOD]


def test_many_are_counted_and_few_are_named() -> None:
    """A list of ten thousand SKUs is no finding that anybody reads."""
    rows = [Listed(f"X-{n:03}", "online", f"x{n}") for n in range(1_200)]
    ((_, what),) = [each for each in items(*rows) if each[0] is WARNING]
    assert what.startswith("1,200 SKUs of london are listed and have no stock level")
    assert what.endswith("X-000, X-001, X-002, X-003, X-004 and 1,195 more")


def test_the_worst_finding_decides() -> None:
    """Nothing found is good."""
    assert worst([]) is GOOD
    assert worst([Finding(GOOD, "a"), Finding(FATAL, "b"), Finding(WARNING, "c")]) is FATAL
