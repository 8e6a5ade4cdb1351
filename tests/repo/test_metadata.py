"""What we ask an admin to deploy is valid in Salesforce's own schema, and holds nothing an org would refuse.

The schema is the one inside the Metadata API's WSDL, which simple-salesforce carries (API 63.0). It knows
elements, their order and their values; the rest of the rules below come from an org's own refusals.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import simple_salesforce
from lxml import etree

from sfsync.resources import metadata_folder

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
XSD = "{http://www.w3.org/2001/XMLSchema}"
SOURCE = metadata_folder() / "force-app" / "main" / "default"
COUNTS = metadata_folder() / "counts" / "main" / "default"
ORDERS = metadata_folder() / "orders" / "main" / "default"
FILES = sorted(metadata_folder().rglob("*-meta.xml"))
API_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9]){0,39}__(?:c|e)")
FUNCTIONS = {"AND", "NOT", "OR", "ISBLANK", "ISNEW", "ISCHANGED", "ISPICKVAL", "PRIORVALUE"}


def child(element: etree._Element, name: str) -> str | None:
    return element.findtext(f"{{{NAMESPACE}}}{name}")


def root_of(path: Path) -> etree._Element:
    return etree.parse(str(path)).getroot()


def fields_of(folder: str) -> dict[str, etree._Element]:
    return {
        f"{path.parts[-3]}.{child(root_of(path), 'fullName')}": root_of(path)
        for source in (SOURCE, COUNTS)
        for path in sorted(source.glob(f"objects/{folder}/fields/*.field-meta.xml"))
    }


FIELDS = fields_of("*")
ROLL_UPS = [name for name, field in FIELDS.items() if child(field, "type") == "Summary"]


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    """The WSDL's schema, with a root element for each type that is deployed as a file of its own."""
    wsdl = etree.parse(str(Path(simple_salesforce.__file__).with_name("metadata.wsdl")))
    found = wsdl.find(f".//{XSD}schema[@targetNamespace='{NAMESPACE}']")
    assert found is not None
    # Written out and read again, so that the prefixes declared further up come along.
    own = etree.fromstring(etree.tostring(found))
    for name in sorted({etree.QName(root_of(path)).localname for path in FILES}):
        etree.SubElement(own, f"{XSD}element", {"name": name, "type": f"tns:{name}"})
    return etree.XMLSchema(own)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_metadata_file_is_valid_in_the_schema_of_the_metadata_api(
    path: Path, schema: etree.XMLSchema
) -> None:
    """Each element is known, stands in its place, and has a value that the Metadata API accepts."""
    valid = schema.validate(etree.parse(str(path)))
    assert valid, str(schema.error_log)


def test_the_schema_refuses_an_element_in_the_wrong_place(schema: etree.XMLSchema) -> None:
    """The check above has teeth: a misspelt element is found."""
    wrong = etree.fromstring(f'<CustomField xmlns="{NAMESPACE}"><fulName>A__c</fulName></CustomField>')
    assert not schema.validate(etree.ElementTree(wrong))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_metadata_file_is_named_after_what_it_holds(path: Path) -> None:
    """A file's name and folder are how the deploy tells what it is: name.type-meta.xml."""
    root = root_of(path)
    name, kind = path.name.removesuffix("-meta.xml").rsplit(".", 1)
    short = {
        "CustomField": "field",
        "CustomObject": "object",
        "CustomTab": "tab",
        "PermissionSet": "permissionset",
    }
    local = etree.QName(root).localname
    assert kind == short.get(local, local[0].lower() + local[1:])
    assert child(root, "fullName") in (name, None)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_one_that_an_org_accepts(name: str) -> None:
    """Names have the form and length of API names; no field says what its type may not say."""
    field = FIELDS[name]
    kind = child(field, "type")
    assert API_NAME.fullmatch(name.partition(".")[2]), "not an API name of at most 40 characters"
    assert len(child(field, "label") or "") <= 40
    assert len(child(field, "description") or "") <= 1000
    if kind in ("MasterDetail", "Summary", "Checkbox"):
        assert child(field, "required") is None, f"an org refuses 'required' on {kind}"
    if kind == "Checkbox":
        assert child(field, "defaultValue") in ("true", "false")
    if kind == "Text" and child(field, "unique") == "true":
        assert child(field, "caseSensitive") is not None


@pytest.mark.parametrize(
    "name", [name for name, field in FIELDS.items() if child(field, "type") == "Summary"]
)
def test_a_roll_up_is_taken_of_a_fitting_field_of_its_own_detail(name: str) -> None:
    """A sum is of a number, a latest moment of a time; the master-detail field leads to its own object."""
    field = FIELDS[name]
    summed = FIELDS[child(field, "summarizedField") or ""]
    key = FIELDS[child(field, "summaryForeignKey") or ""]
    assert (
        child(summed, "type") == {"sum": "Number", "max": "DateTime"}[child(field, "summaryOperation") or ""]
    )
    assert child(summed, "formula") is None
    assert child(key, "type") == "MasterDetail"
    assert child(key, "referenceTo") == name.partition(".")[0]


@pytest.mark.parametrize(
    "path", [path for path in FILES if "validationRule" in path.name], ids=lambda path: path.name
)
def test_a_rule_reads_fields_that_exist_and_can_be_told_by_its_message(path: Path) -> None:
    """Formulas name fields of their own object; messages start with a code of ours and fit an org's 255."""
    rule = root_of(path)
    formula = child(rule, "errorConditionFormula") or ""
    words = set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", re.sub(r'"[^"]*"', "", formula)))
    own = {name.partition(".")[2] for name in FIELDS if name.startswith(f"{path.parts[-3]}.")}
    assert words <= own | FUNCTIONS
    message = child(rule, "errorMessage") or ""
    assert re.match(r"SFSYNC_[A-Z]+: ", message)
    assert len(message) <= 255


def test_exactly_one_of_the_two_rules_against_overselling_is_active() -> None:
    """Both variants ship; an org starts with the one that never refuses a posting."""
    folder = SOURCE / "objects/StockLevel__c/validationRules"
    rules = {
        name: child(root_of(folder / f"{name}.validationRule-meta.xml"), "active")
        for name in ("Reservation_needs_stock", "Reserved_within_on_hand")
    }
    assert rules == {"Reservation_needs_stock": "true", "Reserved_within_on_hand": "false"}


@pytest.mark.parametrize(
    ("path", "objects"),
    [
        (SOURCE / "permissionsets/Sfsync_Integration", ("StockLevel__c", "StockMovement__c")),
        (COUNTS / "permissionsets/Sfsync_Counts", ("StockCount__c",)),
        (COUNTS / "permissionsets/Stock_Counter", ("StockCount__c",)),
    ],
    ids=lambda part: part.name if isinstance(part, Path) else "",
)
def test_the_permission_set_grants_only_what_an_org_lets_it_grant(
    path: Path, objects: tuple[str, ...]
) -> None:
    """Never required or master-detail fields, computed ones only to read, and none forgotten."""
    granted = root_of(path.with_name(path.name + ".permissionset-meta.xml"))
    seen = set()
    for entry in granted.findall(f"{{{NAMESPACE}}}fieldPermissions"):
        name = child(entry, "field") or ""
        field = FIELDS[name]
        seen.add(name)
        assert child(field, "required") != "true", f"{name} is required"
        assert child(field, "type") != "MasterDetail", name
        if child(field, "type") == "Summary" or child(field, "formula") is not None:
            assert child(entry, "editable") == "false", f"{name} is computed"
    optional = {
        name
        for name, field in FIELDS.items()
        if name.partition(".")[0] in objects
        and child(field, "required") != "true"
        and child(field, "type") != "MasterDetail"
    }
    assert seen >= optional, "a field without permission is invisible to whoever has the set"


def test_people_who_count_only_read_what_sfsync_answers() -> None:
    """Who could write the answer could say of a count what no ledger holds."""
    granted = root_of(COUNTS / "permissionsets/Stock_Counter.permissionset-meta.xml")
    editable = {
        child(entry, "field")
        for entry in granted.findall(f"{{{NAMESPACE}}}fieldPermissions")
        if child(entry, "editable") == "true"
    }
    answers = ("Status", "Expected", "Variance", "Movement", "Recount", "Message", "CountKey")
    assert editable
    assert not editable & {f"StockCount__c.{name}__c" for name in answers}


def test_the_event_channel_has_one_member_that_leaves_out_our_own_movements() -> None:
    """One entity on one custom channel: deliveries are scarce, and what sfsync wrote it knows already."""
    assert [path.name for path in SOURCE.glob("platformEventChannels/*")] == [
        "SfsyncStock__chn.platformEventChannel-meta.xml"
    ]
    (path,) = SOURCE.glob("platformEventChannelMembers/*")
    member = root_of(path)
    assert child(member, "eventChannel") == "SfsyncStock__chn"
    assert child(member, "selectedEntity") == "StockMovement__ChangeEvent"
    assert child(member, "filterExpression") == "BySfsync__c = false"
    for enriched in member.findall(f"{{{NAMESPACE}}}enrichedFields"):
        assert f"StockMovement__c.{child(enriched, 'name')}" in FIELDS


def test_where_orders_live_in_the_org_two_more_entities_are_told_on_a_channel_of_their_own() -> None:
    """Three of the five that an org has for nothing; an item's event names its order, whatever changed."""
    members = [root_of(path) for path in sorted((ORDERS / "platformEventChannelMembers").iterdir())]
    assert {child(member, "eventChannel") for member in members} == {"SfsyncOrders__chn"}
    assert [child(member, "selectedEntity") for member in members] == [
        "OrderChangeEvent",
        "OrderItemChangeEvent",
    ]
    assert members[1].findtext(f"{{{NAMESPACE}}}enrichedFields/{{{NAMESPACE}}}name") == "OrderId"


@pytest.mark.parametrize(
    "name",
    [
        "orders/main/default/permissionsets/Sfsync_Orders",
        "returns/main/default/permissionsets/Sfsync_Returns",
    ],
)
def test_orders_and_returns_are_only_ever_read(name: str) -> None:
    """Permission sets of their own, which grant nothing but reading."""
    granted = root_of(metadata_folder() / f"{name}.permissionset-meta.xml")
    entries = granted.findall(f"{{{NAMESPACE}}}objectPermissions")
    assert entries
    for entry in entries:
        for right in ("allowCreate", "allowEdit", "allowDelete", "modifyAllRecords"):
            assert child(entry, right) == "false", child(entry, "object")
    for entry in granted.findall(f"{{{NAMESPACE}}}fieldPermissions"):
        assert child(entry, "editable") == "false", child(entry, "field")
