"""`python -m sfsync.simulators.receiver`."""

from __future__ import annotations

from sfsync.simulators.receiver.command import main

if __name__ == "__main__":
    main()
