"""The simulated wire and the real one agree."""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.parity import calm, simulated, wired


@pytest.mark.slow
def test_the_same_workload_over_real_grpc_and_http_gives_the_same_ledger() -> None:
    """Orders, tills, people, reservations, refunds: each subject has the same rows at the same levels."""
    plan = calm(1)
    in_one_process = simulated(plan)
    over_sockets = asyncio.run(wired(plan))
    assert over_sockets == in_one_process
    subjects = list(in_one_process)
    assert sum(" order " in subject for subject in subjects) >= 40
    kinds = {row[2] for rows in in_one_process.values() for row in rows if len(row) == 5}
    assert kinds >= {"Order", "Cart", "Client", "Release", "Fulfilment", "Sale", "Receipt"}
