"""What must survive a crash: SQLAlchemy Core over SQLite (embedded, the default) or PostgreSQL.

- ``tables``      the schema, in one place
- ``tx``          one transaction: short named statements, no decisions; its parts are
                  ``coverage``, ``levels``, ``orders``, ``ledger``, ``channels`` and so on
- ``identities``  which shop and places a channel's levels are of
- ``database``    the engine, one writer thread, the lock against a second daemon, migrations
- ``views``       read-only pictures for status, dashboard and CLI
"""

from .database import Database, Hands, NoStoreError, StoreError, open_store

__all__ = ["Database", "Hands", "NoStoreError", "StoreError", "open_store"]
