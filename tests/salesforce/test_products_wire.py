"""Products of a simulated org, read over its REST API as policies ask for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.salesforce.conftest import settings_of
from tests.salesforce.kit import WallClock
from tests.sandbox import OrgSandbox

from sfsync.domain.products import Product
from sfsync.ports import Finding, Refused, Severity
from sfsync.salesforce.config import ProductsConfig
from sfsync.salesforce.org import SalesforceOrg

ASKED = ProductsConfig(
    fields=("family", "IsActive", "CreatedBy.Name"), tags_field="QuantityUnitOfMeasure", price_field=""
)


async def ours(sandbox: OrgSandbox, config: ProductsConfig) -> AsyncIterator[SalesforceOrg]:
    org = SalesforceOrg(replace(settings_of(sandbox), products=config), WallClock())
    yield org
    await org.close()


@pytest.fixture
async def org(sandbox: OrgSandbox) -> AsyncIterator[SalesforceOrg]:
    """Our side of the org, asking for a few fields."""
    async for made in ours(sandbox, ASKED):
        yield made


async def read(org: SalesforceOrg, since: datetime | None, *ids: str) -> dict[str, Product]:
    """These products, as far as they are told."""
    return {
        product.record_id: product
        async for page in org.products(since)
        for product in page
        if product.record_id in ids
    }


async def test_products_are_read_with_the_fields_that_policies_name(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A field's name without case, a truth, several tags in one field; one without a SKU is nobody's."""
    bag = sandbox.create(
        "Product2",
        Name="Bag",
        StockKeepingUnit=sku,
        Family="Handbags",
        IsActive=True,
        QuantityUnitOfMeasure="iconic; gold;",
    )
    bare = sandbox.create("Product2", Name="Nothing yet")
    found = await read(org, None, bag, bare)
    told = found[bag]
    assert (told.sku, told.tags, told.price, told.gone) == (sku, frozenset({"iconic", "gold"}), None, False)
    assert {name: told.fields[name] for name in ("family", "IsActive")} == {
        "family": "Handbags",
        "IsActive": "true",
    }
    assert found[bare].gone


async def test_what_has_changed_is_told_and_what_was_deleted_too(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """By the moment of the last change; a deleted product is gone."""
    bag = sandbox.create("Product2", Name="Bag", StockKeepingUnit=sku, Family="Handbags")
    ago = datetime.now(UTC) - timedelta(minutes=1)
    assert (await read(org, ago, bag))[bag].fields["family"] == "Handbags"
    assert await read(org, datetime.now(UTC) + timedelta(minutes=1), bag) == {}
    sandbox.records("delete", bag)
    assert (await read(org, ago, bag))[bag].gone
    assert await read(org, None, bag) == {}


async def test_a_field_that_the_org_does_not_have_is_told_with_the_setting_to_mend(
    sandbox: OrgSandbox,
) -> None:
    """The org's own words, which name the field; and where it was named."""
    async for org in ours(sandbox, ProductsConfig(fields=("Famly",))):
        with pytest.raises(Refused, match="Famly") as refused:
            await read(org, None)
        assert "[products]" in refused.value.advice


async def products_found(sandbox: OrgSandbox, config: ProductsConfig) -> list[Finding]:
    """What `sfsync check` says of products."""
    async for org in ours(sandbox, config):
        return [each for each in await org.check() if "roduct" in each.what]
    raise AssertionError("there is an org")


async def test_the_check_tells_a_good_word_where_every_field_can_be_read(sandbox: OrgSandbox) -> None:
    """Names without case, and by way of another object, as the reading takes them."""
    (good,) = await products_found(sandbox, ASKED)
    assert good.severity is Severity.GOOD


async def test_the_check_names_each_field_that_cannot_be_read(sandbox: OrgSandbox) -> None:
    """A slip of the pen, a way that leads nowhere, a price that is none: warned of before a policy fails."""
    config = ProductsConfig(fields=("Famly", "Maker__r.Name"), price_field="Name")
    found = await products_found(sandbox, config)
    assert {each.severity for each in found} == {Severity.WARNING}
    assert [each.what.partition(":")[0] for each in found] == [
        "Product2.Famly is missing, or hidden from us",
        "Product2 has no relationship Maker__r (of Maker__r.Name)",
        "Product2.Name is no number",
    ]
    assert all("[products]" in each.remedy for each in found)
