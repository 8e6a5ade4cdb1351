"""sfsync in shadow: beside another integration it hears everything, decides everything, and writes nothing.

- ``org``      the org's port: reads as the org tells, and answers writes from a model of the ledger
- ``channel``  a channel's port: reads as the channel tells, and takes pushes without passing them on
- ``watch``    looks at what channels really show
- ``report``   what was seen, held against what would have been
- ``telling``  the same for pages and scrapers

The flow is given these two ports in the place of the real ones and does not know the difference. They are the
one place where a write ends: neither calls a writing method of the port within. Beneath them the clients of
the org and of our own kinds of channel refuse whatever is not a reading (`read_only`), should that ever fail.
"""

from .channel import ShadowChannel
from .org import ShadowOrg
from .report import report
from .telling import ShadowReports
from .watch import Watch

__all__ = ["ShadowChannel", "ShadowOrg", "ShadowReports", "Watch", "report"]
