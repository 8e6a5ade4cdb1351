"""SOQL: parsed by a grammar, checked against the schema, answered from the tables.

`execute` answers a query, `compile_conditions` makes a channel's filter, `json_value` prints a value as REST
does, `Fields` reads any field of a row, formula fields and parents included.

Not simulated: TYPEOF, GROUP BY ROLLUP and CUBE, FORMAT, toLabel, convertCurrency, DISTANCE, INCLUDES and
EXCLUDES, WITH, polymorphic relationships, SOSL, field-level security, the user's locale (days are UTC, text
sorts by code point without case), limits on query length and run time, paging of child results. FOR VIEW
and FOR REFERENCE are accepted and do nothing; FOR UPDATE is refused, as over REST.
"""

from sfsync.simulators.org.soql.computed import Fields
from sfsync.simulators.org.soql.database import Database
from sfsync.simulators.org.soql.errors import SoqlError
from sfsync.simulators.org.soql.execute import column_names, execute
from sfsync.simulators.org.soql.filters import check_filter, compile_conditions
from sfsync.simulators.org.soql.parser import parse
from sfsync.simulators.org.soql.render import QueryResult, json_value

__all__ = [
    "Database",
    "Fields",
    "QueryResult",
    "SoqlError",
    "check_filter",
    "column_names",
    "compile_conditions",
    "execute",
    "json_value",
    "parse",
]
