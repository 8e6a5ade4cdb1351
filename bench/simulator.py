"""How fast the simulated org itself is: it must not be what bounds the other cases.

The org runs in its own process, the client in this one, with no latency asked for. Each collections call
creates 200 movements on 200 different levels, the costliest mix: 200 child saves, 200 roll-ups, 200 saves
of a parent through its rules, one transaction. Both objects are selected for change events.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import grpc
import grpc.aio
from tests.sandbox import OrgSandbox, start_org

from sfsync.salesforce.proto import pubsub_api_pb2 as pb
from sfsync.salesforce.proto import pubsub_api_pb2_grpc as pb_grpc

BATCH = 200
VERSION = "67.0"
_KNOBS = ("selected_entities=StockLevel__c,StockMovement__c", "delivery_allowance=100000000")
_CHANNEL = "/data/ChangeEvents"
_JSON = {"Content-Type": "application/json"}


def run(rounds: int, calls: int) -> dict[str, list[dict[str, float]]]:
    """`rounds` fresh orgs, each with `calls` collections calls and then both streams from the first event."""
    return {"org": [_measure(calls) for _ in range(rounds)]}


def _measure(calls: int) -> dict[str, float]:
    levels = [{"sku": f"SKU-{number:04d}", "location": "ECOM", "on_hand": 1} for number in range(BATCH)]
    with start_org({"levels": levels}, knobs=_KNOBS) as org:
        token = _token(org.ready)
        created = _create(org, token, calls)
        events = 2 * calls * BATCH  # each movement, and the level whose numbers it moved
        by_pubsub = asyncio.run(_drain(_pubsub(org.ready, token), events))
        by_cometd = asyncio.run(_drain(_cometd(org.ready, token), events))
    return {"records_per_s": created, "pubsub_events_per_s": by_pubsub, "cometd_events_per_s": by_cometd}


def _token(ready: Mapping[str, Any]) -> str:
    form = {"grant_type": "client_credentials"}
    form |= {"client_id": ready["client_id"], "client_secret": ready["client_secret"]}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    link = _link(ready)
    link.request("POST", "/services/oauth2/token", urlencode(form), kind)
    return str(json.load(link.getresponse())["access_token"])


def _link(ready: Mapping[str, Any]) -> http.client.HTTPConnection:
    address = urlsplit(ready["http_url"])
    return http.client.HTTPConnection(address.hostname or "localhost", address.port)


def _create(org: OrgSandbox, token: str, calls: int) -> float:
    """Records per second, with all bodies made beforehand and one call after another."""
    ids = [row["Id"] for row in org.query("SELECT Id FROM StockLevel__c")]
    bodies = [json.dumps({"allOrNone": False, "records": _records(ids, call)}) for call in range(calls)]
    headers = {"Authorization": f"Bearer {token}", **_JSON}
    link = _link(org.ready)
    began = time.perf_counter()
    answers = []
    for body in bodies:
        link.request("POST", f"/services/data/v{VERSION}/composite/sobjects", body, headers)
        answers.append(link.getresponse().read())
    took = time.perf_counter() - began
    for answer in answers:
        results = json.loads(answer)
        assert len(results) == BATCH, results
        assert all(result["success"] for result in results), results
    return calls * BATCH / took


def _records(levels: list[str], call: int) -> list[dict[str, Any]]:
    return [
        {
            "attributes": {"type": "StockMovement__c"},
            "StockLevel__c": level,
            "Kind__c": "Receipt",
            "OnHandDelta__c": number + 1,  # all different: equal changes of a transaction are told as one
            "ReservedDelta__c": 0,
            "VersionDelta__c": 1,
            "IdempotencyKey__c": f"receipt:{call}:{number}",
            "Source__c": "till",
        }
        for number, level in enumerate(levels)
    ]


async def _drain(batches: AsyncIterator[int], events: int) -> float:
    """Events per second of one subscriber from the first event to the last."""
    began = time.perf_counter()
    received = 0
    async for count in batches:
        received += count
        if received >= events:
            return received / (time.perf_counter() - began)
    raise RuntimeError(f"the stream ended after {received} of {events} events")


async def _pubsub(ready: Mapping[str, Any], token: str) -> AsyncIterator[int]:
    metadata = (("accesstoken", token), ("instanceurl", ready["http_url"]), ("tenantid", ready["org_id"]))
    async with grpc.aio.insecure_channel(ready["grpc"]) as channel:
        stub: Any = pb_grpc.PubSubStub(channel)  # typed for calls that bring an iterator
        call = stub.Subscribe(metadata=metadata)
        earliest = pb.ReplayPreset.EARLIEST
        await call.write(pb.FetchRequest(topic_name=_CHANNEL, replay_preset=earliest, num_requested=100))
        async for response in call:
            if response.events:
                await call.write(pb.FetchRequest(num_requested=len(response.events)))
                yield len(response.events)


async def _cometd(ready: Mapping[str, Any], token: str) -> AsyncIterator[int]:
    url = f"{ready['http_url']}/cometd/{VERSION}"
    async with aiohttp.ClientSession(headers={"Authorization": f"OAuth {token}"}) as http_session:

        async def send(**message: Any) -> list[dict[str, Any]]:
            async with http_session.post(url, json=[message]) as answer:
                messages: list[dict[str, Any]] = await answer.json()
                return messages

        [shaken] = await send(
            channel="/meta/handshake", version="1.0", supportedConnectionTypes=["long-polling"]
        )
        client = shaken["clientId"]
        replay = {"replay": {_CHANNEL: -2}}
        await send(channel="/meta/subscribe", clientId=client, subscription=_CHANNEL, ext=replay)
        while True:
            messages = await send(channel="/meta/connect", clientId=client, connectionType="long-polling")
            yield sum(message["channel"] == _CHANNEL for message in messages)
