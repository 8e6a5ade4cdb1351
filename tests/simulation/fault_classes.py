"""Every fault class of the simulators: where the simulation draws it, or why it does not.

A place is a tuple of kinds (`trouble.ORG_FAULTS`), the trouble's own method, or `rare.<kind>`. A simulator
that learns a new fault fails `test_fault_classes` until it stands here.
"""

from __future__ import annotations

from collections.abc import Mapping

from .trouble import ORG_FAULTS, SHOP_FAULTS, WEBHOOK_FAULTS

NO_SHOPPERS_WIRE = "between a shopper and a shop nothing of ours stands: shoppers buy without a wire"
WITHOUT_COMETD = "the simulated house listens by Pub/Sub; tests/salesforce and the sandbox tests have CometD"
UNDOES = "the end of another trouble, not one"

DRAWN: Mapping[str, Mapping[str, str]] = {
    "requests to the org": {
        **dict.fromkeys(ORG_FAULTS, "trouble.ORG_FAULTS"),
        "daily_limit": "trouble.Trouble._org",
        "throttle": "rare.throttle",
        "refuse_row": "rare.refuse_row",
        "storage_full": "rare.storage_full",
        "phantom": "rare.phantom",
        "expire_token_after": "rare.expire_token_after",
    },
    "fates of events": {
        "gap": "trouble.Trouble._bus_gap",
        "lost": "rare.lost",
        "overflow": "trouble.Trouble._bus_overflow",
        "duplicate": "trouble.Trouble._bus_fates",
        "cut": "trouble.Trouble._bus_cut",
        "silent": "trouble.Trouble._bus_silence",
        "late": "rare.late",
        "torn": "rare.torn",
        "schema": "rare.schema",
    },
    "actions on the bus": {
        "gap": "trouble.Trouble._bus_gap",
        "overflow": "trouble.Trouble._bus_overflow",
        "fates": "trouble.Trouble._bus_fates",
        "duplicate_last": "trouble.Trouble._bus_duplicate",
        "hold": "trouble.Trouble._bus_hold",
        "release": "trouble.Trouble._bus_hold",
        "reset_stream": "trouble.Trouble._bus_reset",
        "use_up_allowance": "trouble.Trouble._bus_allowance",
        "forbid": "trouble.Trouble._bus_forbid",
        "cut": "trouble.Trouble._bus_cut",
        "silence": "trouble.Trouble._bus_silence",
        "refuse": "trouble.Trouble._bus_refuse",
        "add_field": "rare.schema",
        "convert_field": "rare.convert_field",
        "refuse_replay": "rare.refuse_replay",
    },
    "calls to a shop": {
        **dict.fromkeys(SHOP_FAULTS, "trouble.SHOP_FAULTS"),
        "wrong_credential": "rare.wrong_credential",
        "not_applied": "rare.not_applied",
    },
    "webhooks of a shop": dict.fromkeys(WEBHOOK_FAULTS, "trouble.WEBHOOK_FAULTS"),
}

EXCUSED: Mapping[str, Mapping[str, str]] = {
    "fates of events": {
        "clock": "the books are checked by when things happened, and a wrong clock falsifies what the org "
        "dated itself; tests/flow/test_counts.py tells what is dated ahead",
    },
    "actions on the bus": {
        "refill_allowance": UNDOES,
        "allow": UNDOES,
        "speak": UNDOES,
        "drop_cometd_sessions": WITHOUT_COMETD,
    },
    "shoppers' calls to a shop": dict.fromkeys(("shop_error", "shop_cut_after"), NO_SHOPPERS_WIRE),
}

# Simulators that are no party of the simulated house.
ABSENT: Mapping[str, str] = {
    "amazon": "its faults are drawn by the exam that every adapter sits (tests/channels)",
    "mirakl": "its faults are drawn by the exam that every adapter sits (tests/channels)",
    "vendure": "its faults are drawn by the exam that every adapter sits (tests/channels)",
    "receiver": "callbacks have their own tests (tests/flow/test_callbacks.py)",
}
