"""The two Node clients that most people use, against the simulated org; their code is not ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.needs import NODE_CLIENTS_VARIABLE, needs
from tests.sandbox import OrgSandbox, start_org

SCRIPTS = Path(__file__).with_name("clients")


def _run(script: str, org: OrgSandbox) -> dict[str, Any]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "READY": json.dumps(dict(org.ready)),
        "MODULES": os.environ[NODE_CLIENTS_VARIABLE],
    }
    command = ["node", str(SCRIPTS / script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    got: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return got


@needs("node-clients")
def test_jsforce_reads_writes_pages_and_streams() -> None:
    """Sign-in, records, collections, queries in pages, bulk, descriptions, and events live and replayed."""
    with start_org() as org:
        got = _run("jsforce.mjs", org)
        assert got["organization"] == org.ready["org_id"]
        assert got["refused"] == "DUPLICATE_VALUE"
        assert got["upserted"] == [True, True]
        assert got["updated"]
        assert (got["saved"], got["onHand"]) == (450, 450)
        assert got["paged"] == [450, 450, "JS|L"]
        assert got["newest"] == "JS|M"
        assert set(got["fields"]) == {
            "Available__c",
            "CountedAt__c",
            "OnHand__c",
            "Reserved__c",
            "Version__c",
        }
        assert got["composite"] == [[201, None], [201, None], [200, 7]]
        assert got["locked"] == "UNABLE_TO_LOCK_ROW"
        assert got["order"] == ["Activated", "DELETE_FAILED"]
        assert (got["bulk"], got["usage"]) == (451, 100_000)
        assert [source for source, _ in got["live"]] == ["js-1", "js-2"]
        assert got["replayed"] == [got["live"][1]]
        assert (got["everything"], got["left"]) == (451, 0)


@needs("node-clients")
def test_the_pubsub_client_publishes_subscribes_and_replays() -> None:
    """gRPC over TLS, Avro both ways, and a change event on our own channel with the level it concerns."""
    with start_org({"levels": [{"sku": "A", "location": "L"}]}) as org:
        level_id = org.level("A|L")["Id"]
        org.move("A|L", on_hand=4)
        got = _run("pubsub.mjs", org)
        assert got["published"] == ["before", "node-1"]
        assert got["live"] == ["node-1", "node-1"]
        assert got["replayed"]
        assert got["change"] == ["StockMovement__c", "CREATE", 4, level_id]
