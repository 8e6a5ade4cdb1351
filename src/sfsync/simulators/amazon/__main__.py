"""`python -m sfsync.simulators.amazon`."""

from __future__ import annotations

from sfsync.simulators.amazon.command import main

if __name__ == "__main__":
    main()
