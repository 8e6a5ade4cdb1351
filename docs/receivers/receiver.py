"""A receiver of sfsync's callbacks in Python: pip install standardwebhooks, and run it.

    CALLBACK_SECRET=whsec_… python3 receiver.py

It checks who has sent a message, keeps the newest number of each SKU in a file, and answers fast. What it has
missed it reads from `GET /v1/levels` when it starts, where SFSYNC_URL, SFSYNC_TOKEN and CHANNEL are given.
Put a web server that speaks TLS in front of it.

    CALLBACK_SECRET   one secret, or several with blanks between while they rotate
    PORT              8900 by default; 0 takes a free one
    DATABASE          stock.db by default
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

MOST_BYTES = 256 * 1024
AGAIN_SECONDS = 5.0


class Stock:
    """The numbers, in a file: a message counts as taken only when it is on disk."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        with self._db:
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS stock (sku TEXT, location TEXT, quantity INTEGER NOT NULL,"
                " sequence INTEGER NOT NULL, PRIMARY KEY (sku, location))"
            )
            self._db.execute("CREATE TABLE IF NOT EXISTS bookmark (cursor TEXT NOT NULL)")

    def take(self, levels: list[dict], cursor: str | None = None) -> None:
        """Keep what is newer than what we have, all of it or nothing; an older number changes nothing."""
        rows = [(each["sku"], each["location"], each["quantity"], each["sequence"]) for each in levels]
        with self._lock, self._db:
            self._db.executemany(
                "INSERT INTO stock VALUES (?, ?, ?, ?) ON CONFLICT (sku, location) DO UPDATE"
                " SET quantity = excluded.quantity, sequence = excluded.sequence"
                " WHERE excluded.sequence > stock.sequence",
                rows,
            )
            if cursor is not None:
                self._db.execute("DELETE FROM bookmark")
                self._db.execute("INSERT INTO bookmark VALUES (?)", (cursor,))

    def cursor(self) -> str | None:
        """How far `GET /v1/levels` was read."""
        with self._lock:
            row = self._db.execute("SELECT cursor FROM bookmark").fetchone()
        return row[0] if row else None

    def quantity(self, sku: str) -> int:
        """What the shop may show of a SKU; one that nobody has told of is not for sale."""
        with self._lock:
            (units,) = self._db.execute(
                "SELECT coalesce(sum(quantity), 0) FROM stock WHERE sku = ?", (sku,)
            ).fetchone()
        return units


class Door(BaseHTTPRequestHandler):
    """POST /stock takes a message; GET /stock?sku= is the shop's own look at a number."""

    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds for a sender to say what it has to say
    stock: Stock
    secrets: list[Webhook]

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if not 0 < length <= MOST_BYTES:
            self.close_connection = True
            return self._answer(413 if length > 0 else 400)
        body = self.rfile.read(length)
        if not any(signed(each, body, self.headers) for each in self.secrets):
            return self._answer(401)
        message = json.loads(body)
        if message["type"] == "stock.changed":  # other types may come one day: they are no failure
            self.stock.take(message["data"]["levels"])
        return self._answer(204)

    def do_GET(self) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        sku = query.get("sku", [""])[0]
        self._answer(200, json.dumps({"sku": sku, "quantity": self.stock.quantity(sku)}).encode())

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if body:
            self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def signed(secret: Webhook, body: bytes, headers: object) -> bool:
    """True for a message that this secret signed, in the last five minutes."""
    try:
        secret.verify(body, dict(headers.items()), json_parse=False)
    except (WebhookVerificationError, ValueError):  # a malformed header or body is a ValueError
        return False
    return True


def catch_up(stock: Stock, url: str, token: str, channel: str) -> None:
    """Read what has changed since the last time; everything when there was none. Until sfsync answers."""
    while True:
        query = {"channel": channel, "limit": "1000"}
        if (cursor := stock.cursor()) is not None:
            query["after"] = cursor
        request = urllib.request.Request(
            f"{url}/v1/levels?{urllib.parse.urlencode(query)}", headers={"authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                page = json.load(answer)
        except (urllib.error.URLError, TimeoutError) as error:
            print(f"not caught up yet: {error}", file=sys.stderr)
            time.sleep(AGAIN_SECONDS)
            continue
        stock.take(page["levels"], page["cursor"])
        if not page["more"]:
            return


def main() -> None:
    Door.stock = Stock(os.environ.get("DATABASE", "stock.db"))
    Door.secrets = [Webhook(secret) for secret in os.environ["CALLBACK_SECRET"].split()]
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8900"))), Door)
    if url := os.environ.get("SFSYNC_URL"):  # beside the door: what comes in meanwhile is newer, and stays
        known = (Door.stock, url, os.environ["SFSYNC_TOKEN"], os.environ["CHANNEL"])
        threading.Thread(target=catch_up, args=known, daemon=True).start()
    print(f"listening on http://127.0.0.1:{server.server_port}/stock", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
