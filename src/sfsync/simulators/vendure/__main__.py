"""`python -m sfsync.simulators.vendure`."""

from __future__ import annotations

from sfsync.simulators.vendure.command import main

if __name__ == "__main__":
    main()
