"""What an org lacks for the products that policies ask for: the fields that the settings name."""

from __future__ import annotations

from collections.abc import Sequence

from sfsync.ports import Finding, Severity
from sfsync.salesforce.config import ProductsConfig
from sfsync.salesforce.describing import Describe, Paths

NUMBERS = frozenset({"currency", "double", "int", "long", "percent"})
READ = "let the user that sfsync signs in as read Product2 and its fields"


class ProductCheck:
    """The examination of one org's products. Stock is kept without them: what is wrong is a warning."""

    def __init__(self, config: ProductsConfig, describe: Describe) -> None:
        self._config, self._paths = config, Paths(describe)

    async def run(self) -> Sequence[Finding]:
        """Every field that cannot be read, or is no number where one is needed; a good finding else."""
        described = await self._paths.described("Product2")
        if described is None or not described.get("queryable"):
            return [_lack("Product2 is missing, or may not be read", READ)]
        found: list[Finding] = []
        for path in self._config.paths:
            field = await self._paths.field("Product2", path)
            if isinstance(field, str):
                found.append(_lack(field, f"mend [products] in the settings, or {READ}"))
            elif path == self._config.price_field and field.get("type") not in NUMBERS:
                what = f"Product2.{path} is no number: no product has a price"
                remedy = "name a number or currency as price_field in [products]"
                found.append(Finding(Severity.WARNING, what, remedy))
        return found or [Finding(Severity.GOOD, "the products that policies ask for can be read")]


def _lack(what: str, remedy: str) -> Finding:
    return Finding(
        Severity.WARNING, f"{what}: no product is read, and policies go by what was read before", remedy
    )
