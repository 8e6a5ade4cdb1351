"""`python -m sfsync.simulators.shopify`."""

from __future__ import annotations

from sfsync.simulators.shopify.command import main

if __name__ == "__main__":
    main()
