"""Runs sfsync for as long as its starter lives: `python leash.py run --config …`.

The starter holds the other end of our standard input. When that closes, for whatever reason, this process
gets the SIGTERM that an orderly stop would have sent. It is a file of its own, started by its path, so that
the program on the leash is the same that a person starts.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

PATIENCE_SECONDS = 20.0


def _watch() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_watch, name="leash", daemon=True).start()
    sys.argv[0] = "sfsync"
    runpy.run_module("sfsync", run_name="__main__", alter_sys=True)
