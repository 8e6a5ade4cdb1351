"""`python -m sfsync.simulators.mirakl`."""

from __future__ import annotations

from sfsync.simulators.mirakl.command import main

if __name__ == "__main__":
    main()
