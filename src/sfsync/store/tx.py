"""One transaction: short statements with a line saying what each is for. Nothing here decides anything."""

from __future__ import annotations

from sqlalchemy import Connection

from .alerts import AlertStatements
from .channels import ChannelStatements
from .comparing import ComparingStatements
from .counts import CountStatements
from .coverage import CoverageStatements
from .editions import EditionStatements
from .gone import GoneStatements
from .incidents import IncidentStatements
from .letters import LetterStatements
from .levels import LevelStatements
from .orders import OrderStatements
from .refunds import RefundStatements
from .reservations import ReservationStatements
from .tills import TillStatements
from .turns import TurnStatements


class SqlTx(
    CoverageStatements,
    LevelStatements,
    OrderStatements,
    CountStatements,
    ReservationStatements,
    EditionStatements,
    ChannelStatements,
    LetterStatements,
    TillStatements,
    IncidentStatements,
    RefundStatements,
    AlertStatements,
    ComparingStatements,
    TurnStatements,
    GoneStatements,
):
    """A `ports.Tx` on an open connection."""

    def __init__(self, connection: Connection) -> None:
        self._c = connection

    @property
    def connection(self) -> Connection:
        """The connection, for the read-only pictures of `views`."""
        return self._c
