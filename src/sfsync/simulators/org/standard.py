"""The standard objects of the simulated org, and the system fields that every object has.

A believable part of each: what order, product and location clients ask for. Relationships point only at
objects that exist here. Not simulated: record types, price books, person accounts, address parts.
"""

from __future__ import annotations

from collections.abc import Iterable

from sfsync.simulators.org.model import Field, FieldType, SObject

_T = FieldType


def text_field(name: str, label: str, length: int = 255, *, required: bool = False) -> Field:
    """A plain text field."""
    return Field(name, label, _T.STRING, length=length, required=required)


def _number(name: str, label: str, *, precision: int = 18, scale: int = 2, required: bool = False) -> Field:
    return Field(name, label, _T.DOUBLE, precision=precision, scale=scale, required=required)


def _currency(name: str, label: str, *, read_only: bool = False, required: bool = False) -> Field:
    return Field(name, label, _T.CURRENCY, precision=18, scale=2, read_only=read_only, required=required)


def _checkbox(name: str, label: str, default: str = "false", *, read_only: bool = False) -> Field:
    return Field(name, label, _T.BOOLEAN, required=True, default=default, read_only=read_only)


def _picklist(
    name: str, label: str, *values: str, default: str | None = None, required: bool = False
) -> Field:
    formula = None if default is None else f'"{default}"'
    return Field(name, label, _T.PICKLIST, length=255, picklist=values, default=formula, required=required)


def _lookup(
    name: str,
    label: str,
    to: str,
    *,
    children: str | None = None,
    required: bool = False,
    read_only: bool = False,
    master: bool = False,
) -> Field:
    return Field(
        name,
        label,
        _T.REFERENCE,
        length=18,
        reference_to=to,
        relationship_name=name.removesuffix("Id"),
        child_relationship_name=children,
        required=required or master,
        read_only=read_only,
        master_detail=master,
    )


def _moment(name: str, label: str) -> Field:
    return Field(name, label, _T.DATETIME, required=True, read_only=True)


def system_fields(*, owner: bool = True) -> list[Field]:
    """The fields every record has besides its name; a detail record has no owner of its own."""
    fields = [
        Field("Id", "Record ID", _T.ID, length=18, required=True, read_only=True),
        _checkbox("IsDeleted", "Deleted", read_only=True),
        _moment("CreatedDate", "Created Date"),
        _lookup("CreatedById", "Created By ID", "User", required=True, read_only=True),
        _moment("LastModifiedDate", "Last Modified Date"),
        _lookup("LastModifiedById", "Last Modified By ID", "User", required=True, read_only=True),
        _moment("SystemModstamp", "System Modstamp"),
    ]
    if owner:
        fields.insert(1, _lookup("OwnerId", "Owner ID", "User"))
    return fields


def event_fields() -> list[Field]:
    """What each platform event carries besides its own fields."""
    return [
        Field("ReplayId", "Replay ID", _T.STRING, length=1000, read_only=True),
        _moment("CreatedDate", "Created Date"),
        _lookup("CreatedById", "Created By ID", "User", required=True, read_only=True),
        Field("EventUuid", "Event UUID", _T.STRING, length=36, read_only=True),
    ]


def _standard(
    name: str, label: str, plural: str, key_prefix: str, fields: Iterable[Field], *, owner: bool = True
) -> SObject:
    every = [*system_fields(owner=owner), *fields]
    return SObject(name, label, plural, key_prefix, {field.name: field for field in every})


def _organization() -> SObject:
    return _standard(
        "Organization",
        "Organization",
        "Organizations",
        "00D",
        [
            text_field("Name", "Name", 80, required=True),
            text_field("InstanceName", "Instance Name", 5),
            text_field("OrganizationType", "Edition", 40),
            _checkbox("IsSandbox", "Is Sandbox"),
            text_field("NamespacePrefix", "Namespace Prefix", 15),
            text_field("TimeZoneSidKey", "Time Zone", 40),
            text_field("LanguageLocaleKey", "Language", 40),
            text_field("DefaultLocaleSidKey", "Locale", 40),
            Field("TrialExpirationDate", "Trial Expiration Date", _T.DATETIME, read_only=True),
        ],
        owner=False,
    )


def _user() -> SObject:
    return _standard(
        "User",
        "User",
        "Users",
        "005",
        [
            text_field("Username", "Username", 80, required=True),
            text_field("FirstName", "First Name", 40),
            text_field("LastName", "Last Name", 80, required=True),
            text_field("Name", "Full Name", 121),
            Field("Email", "Email", _T.EMAIL, length=128, required=True),
            text_field("Alias", "Alias", 8),
            _checkbox("IsActive", "Active", "true"),
            _picklist("UserType", "User Type", "Standard", default="Standard"),
            text_field("TimeZoneSidKey", "Time Zone", 40),
            text_field("LocaleSidKey", "Locale", 40),
            text_field("LanguageLocaleKey", "Language", 40),
        ],
        owner=False,
    )


def _product() -> SObject:
    return _standard(
        "Product2",
        "Product",
        "Products",
        "01t",
        [
            text_field("Name", "Product Name", 255, required=True),
            text_field("ProductCode", "Product Code"),
            Field("Description", "Product Description", _T.TEXTAREA, length=4000),
            _checkbox("IsActive", "Active"),
            text_field("Family", "Product Family", 255),
            text_field("StockKeepingUnit", "Product SKU", 180),
            text_field("QuantityUnitOfMeasure", "Quantity Unit Of Measure", 40),
            Field("ExternalId", "External ID", _T.STRING, length=255),
        ],
        owner=False,
    )


def _location() -> SObject:
    return _standard(
        "Location",
        "Location",
        "Locations",
        "131",
        [
            text_field("Name", "Location Name", 255, required=True),
            _picklist("LocationType", "Location Type", "Store", "Warehouse", "Site", "Van", "Plant"),
            text_field("ExternalReference", "External Reference"),
            text_field("TimeZone", "Time Zone", 40),
            _checkbox("IsInventoryLocation", "Inventory Location"),
            _checkbox("IsMobile", "Mobile Location"),
            Field("Description", "Description", _T.TEXTAREA, length=255),
            _lookup("ParentLocationId", "Parent Location ID", "Location", children="ChildLocations"),
        ],
    )


def _order() -> SObject:
    return _standard(
        "Order",
        "Order",
        "Orders",
        "801",
        [
            Field(
                "OrderNumber", "Order Number", _T.STRING, length=30, read_only=True, auto_number="{00000000}"
            ),
            text_field("Name", "Order Name", 80),
            Field("EffectiveDate", "Order Start Date", _T.DATE, required=True),
            Field("EndDate", "Order End Date", _T.DATE),
            # Draft and Activated are the platform's; a house adds its own (categories: `order_rules`).
            _picklist(
                "Status",
                "Status",
                "Draft",
                "Activated",
                "Shipped",
                "Cancelled",
                default="Draft",
                required=True,
            ),
            Field("StatusCode", "Status Category", _T.STRING, length=40, read_only=True),
            Field("ActivatedDate", "Activated Date", _T.DATETIME, read_only=True),
            _lookup("ActivatedById", "Activated By ID", "User"),
            _checkbox("IsReductionOrder", "Reduction Order"),
            _lookup("OriginalOrderId", "Original Order ID", "Order", children="ReductionOrders"),
            text_field("OrderReferenceNumber", "Order Reference Number", 80),
            text_field("PoNumber", "PO Number", 80),
            Field("Description", "Description", _T.TEXTAREA, length=32_000),
            _picklist("Type", "Order Type", "Online", "Store"),
            _currency("TotalAmount", "Order Amount", read_only=True),
            text_field("AccountId", "Account ID", 18),
        ],
    )


def _order_item() -> SObject:
    return _standard(
        "OrderItem",
        "Order Product",
        "Order Products",
        "802",
        [
            Field(
                "OrderItemNumber",
                "Order Product Number",
                _T.STRING,
                length=30,
                read_only=True,
                auto_number="{0000000000}",
            ),
            # The reference calls it a lookup, yet products go with their order: it is a detail of it.
            _lookup("OrderId", "Order ID", "Order", children="OrderItems", master=True),
            _lookup("Product2Id", "Product ID", "Product2", children="OrderItems"),
            _lookup(
                "OriginalOrderItemId", "Original Order Item ID", "OrderItem", children="ReductionOrderItems"
            ),
            _number("Quantity", "Quantity", required=True),
            _currency("UnitPrice", "Unit Price"),
            _currency("ListPrice", "List Price"),
            _currency("TotalPrice", "Total Price", read_only=True),
            Field("ServiceDate", "Start Date", _T.DATE),
            Field("EndDate", "End Date", _T.DATE),
            Field("Description", "Line Description", _T.STRING, length=255),
        ],
        owner=False,
    )


def _return_order() -> SObject:
    return _standard(
        "ReturnOrder",
        "Return Order",
        "Return Orders",
        "0rd",
        [
            Field(
                "ReturnOrderNumber",
                "Return Order Number",
                _T.STRING,
                length=30,
                read_only=True,
                auto_number="RO-{0000}",
            ),
            _picklist(
                "Status",
                "Status",
                "Draft",
                "Submitted",
                "Approved",
                "Closed",
                "Canceled",
                default="Draft",
            ),
            _lookup("OrderId", "Order ID", "Order", children="ReturnOrders"),
            _lookup("DestinationLocationId", "Destination Location ID", "Location"),
            Field("ExpectedArrivalDate", "Expected Arrival Date", _T.DATETIME),
            Field("Description", "Description", _T.TEXTAREA, length=32_000),
        ],
    )


def _return_order_line_item() -> SObject:
    return _standard(
        "ReturnOrderLineItem",
        "Return Order Line Item",
        "Return Order Line Items",
        "0rl",
        [
            Field(
                "ReturnOrderLineItemNumber",
                "Return Order Line Item Number",
                _T.STRING,
                length=30,
                read_only=True,
                auto_number="ROLI-{0000}",
            ),
            _lookup(
                "ReturnOrderId",
                "Return Order ID",
                "ReturnOrder",
                children="ReturnOrderLineItems",
                master=True,
            ),
            _lookup("OrderItemId", "Order Product ID", "OrderItem", children="ReturnOrderLineItems"),
            _lookup("Product2Id", "Product ID", "Product2"),
            _number("QuantityReturned", "Quantity Returned", required=True),
            _number("QuantityExpected", "Quantity Expected"),
            _number("QuantityReceived", "Quantity Received"),
            _number("QuantityRejected", "Quantity Rejected"),
            _picklist("ReasonForReturn", "Reason For Return", "Damaged", "Defective", "Wrong Item"),
            _lookup("DestinationLocationId", "Destination Location ID", "Location"),
        ],
        owner=False,
    )


def standard_objects() -> dict[str, SObject]:
    """The standard objects by name."""
    objects = (
        _organization(),
        _user(),
        _product(),
        _location(),
        _order(),
        _order_item(),
        _return_order(),
        _return_order_line_item(),
    )
    return {sobject.name: sobject for sobject in objects}
