"""`sfsync demo`: the whole story in one command, against a simulated org and two simulated storefronts.

catalogue   invents a luxury house: 300 SKUs, four locations, three last handbags
processes   starts, watches and ends the processes; `leash` ties the daemon's life to ours
outside     the org by its REST API and the storefronts as shoppers meet them; `daemon` is sfsync's own API
world       opens the house: everybody started, every storefront right
story       a sale at the till, a sale online; `handbag`: the last one, three ways
traffic     a busy day; `kills` disturbs it
closing     compares everything from outside; `sums` is the arithmetic, `telling` the voice
"""

from __future__ import annotations

from .command import demo

__all__ = ["demo"]
