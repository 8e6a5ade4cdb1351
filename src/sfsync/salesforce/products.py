"""The org's products as far as policies ask for them: read whole once, then what has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from sfsync.domain.products import Product
from sfsync.ports import Refused
from sfsync.salesforce import soql
from sfsync.salesforce.config import ProductsConfig
from sfsync.salesforce.records import Record
from sfsync.salesforce.rest import OrgRefused
from sfsync.salesforce.snapshot import RestPages


class ProductReader:
    """Reads Product2."""

    def __init__(self, pages: RestPages, config: ProductsConfig) -> None:
        self._pages, self._config = pages, config

    async def since(self, at: datetime | None) -> AsyncIterator[Sequence[Product]]:
        """Products that have changed since, deleted ones too; all of them when None.

        Raises `Refused` with the org's words and the setting to mend where a field is not there.
        """
        query = f"SELECT Id, IsDeleted, {', '.join(self._config.paths)} FROM Product2"  # noqa: S608 — settings, checked to be field names
        if at is not None:
            query += f" WHERE SystemModstamp >= {soql.moment(at)}"
        try:
            async for page in self._pages.pages(query, deleted_too=at is not None):
                yield [self._product(record) for record in page]
        except OrgRefused as error:
            advice = (
                "mend [products] in the settings, or let the integration user read Product2 and its fields"
            )
            raise Refused(f"products cannot be read: {error}", advice=advice) from error

    def _product(self, record: Record) -> Product:
        config = self._config
        sku, price = _value(record, config.sku_field), _value(record, config.price_field)
        tags = _text(_value(record, config.tags_field))
        read = {name: _text(_value(record, name)) for name in config.fields}
        return Product(
            str(record["Id"]),
            _text(sku),
            {name: text for name, text in read.items() if text},
            frozenset(tag.strip() for tag in tags.split(";") if tag.strip()),
            float(price) if isinstance(price, int | float) and not isinstance(price, bool) else None,
            bool(record.get("IsDeleted")) or not sku,
        )


def _value(record: Record, path: str) -> Any:
    """A field's value by its path, names without case as the org takes them; None where a parent is blank."""
    found: Any = record
    for name in path.split(".") if path else ():
        if not isinstance(found, dict):
            return None
        found = next((value for key, value in found.items() if key.lower() == name.lower()), None)
    return found if path else None


def _text(value: object) -> str:
    """As a person writes it in a policy: true, false, 12, 12.5."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
