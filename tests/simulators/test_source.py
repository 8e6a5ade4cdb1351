"""The org's schema, read from SFDX source: ours, and projects with something wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.simulators.language_kit import our_schema

from sfsync.simulators.org.model import FieldType, RollUp
from sfsync.simulators.org.soql import compile_conditions
from sfsync.simulators.org.source import SourceError, entity_of_change_event, load_schema

XMLNS = 'xmlns="http://soap.sforce.com/2006/04/metadata"'
BOX = "force-app/objects/Box__c"
OBJECT = (
    "<label>Box</label><pluralLabel>Boxes</pluralLabel>"
    "<nameField><label>Box Name</label><type>Text</type></nameField>"
)
NUMBER = "<label>N</label><precision>18</precision><scale>0</scale><type>Number</type>"


def document(root: str, body: str) -> str:
    """A metadata file."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} {XMLNS}>{body}</{root}>\n'


def custom_field(name: str, body: str) -> str:
    """A field's file."""
    return document("CustomField", f"<fullName>{name}</fullName>{body}")


def rule(formula: str, name: str = "Rule", more: str = "") -> str:
    """A validation rule's file."""
    return document(
        "ValidationRule",
        f"<fullName>{name}</fullName><active>true</active><errorConditionFormula>{formula}</errorConditionFormula>"
        f"<errorMessage>no</errorMessage>{more}",
    )


class Project:
    """An SFDX project in a folder, one object `Box__c` to begin with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("sfdx-project.json", json.dumps({"packageDirectories": [{"path": "force-app"}]}))
        self.write(f"{BOX}/Box__c.object-meta.xml", document("CustomObject", OBJECT))

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    def field(self, name: str, body: str, owner: str = BOX) -> None:
        self.write(f"{owner}/fields/{name}.field-meta.xml", custom_field(name, body))

    def problems(self) -> list[str]:
        with pytest.raises(SourceError) as caught:
            load_schema(self.folder)
        return caught.value.problems


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that loads."""
    return Project(tmp_path)


def test_our_metadata_becomes_a_ledger() -> None:
    """Levels with roll-ups over movements, keys, names that count up, prefixes that stay."""
    schema = our_schema()
    level, movement = schema.objects["StockLevel__c"], schema.objects["StockMovement__c"]
    assert (level.key_prefix, movement.key_prefix) == ("a00", "a01")
    assert level.fields["Reserved__c"].roll_up == RollUp(
        "sum", "StockMovement__c", "ReservedDelta__c", "StockLevel__c"
    )
    assert level.fields["Reserved__c"].read_only
    key = level.fields["LevelKey__c"]
    assert (key.unique, key.external_id, key.case_sensitive, key.required, key.length) == (
        True,
        True,
        True,
        True,
        255,
    )
    assert level.fields["Name"].auto_number == "SL-{0000000}"
    assert level.fields["Available__c"].formula == "OnHand__c - Reserved__c"
    parent = movement.fields["StockLevel__c"]
    assert (parent.type, parent.reference_to, parent.master_detail) == (
        FieldType.REFERENCE,
        "StockLevel__c",
        True,
    )
    assert (parent.relationship_name, parent.child_relationship_name) == (
        "StockLevel__r",
        "StockMovements__r",
    )
    assert (parent.required, parent.reparentable) == (True, False)
    assert movement.fields["BySfsync__c"].default == "false"
    assert movement.fields["VersionDelta__c"].default == "1"


def test_a_detail_record_has_no_owner_of_its_own() -> None:
    """A level is owned; a movement is controlled by its parent."""
    schema = our_schema()
    assert "OwnerId" in schema.objects["StockLevel__c"].fields
    assert "OwnerId" not in schema.objects["StockMovement__c"].fields
    for name in (
        "Id",
        "CreatedDate",
        "CreatedById",
        "LastModifiedDate",
        "LastModifiedById",
        "SystemModstamp",
    ):
        assert schema.objects["StockMovement__c"].fields[name].read_only


def test_a_picklist_has_its_values_and_its_default() -> None:
    """Adjustment is what a person's entry is, unless said otherwise."""
    kind = our_schema().objects["StockMovement__c"].fields["Kind__c"]
    assert kind.restricted_picklist
    assert {"Opening", "Sale", "Void"} <= set(kind.picklist)
    assert kind.default == '"Adjustment"'


def test_both_variants_of_the_rule_are_there_and_one_is_active() -> None:
    """An admin may switch to the fallback."""
    rules = {found.name: found.active for found in our_schema().objects["StockLevel__c"].rules}
    assert rules.pop("Level_keeps_its_key")
    assert rules == {"Reservation_needs_stock": True, "Reserved_within_on_hand": False}


def test_a_platform_event_carries_what_every_event_carries() -> None:
    """Replay id, creation and UUID besides its own fields; its prefix begins with e."""
    event = our_schema().objects["StockEvent__e"]
    assert event.is_event
    assert not event.publish_immediately
    assert event.key_prefix == "e00"
    assert {"ReplayId", "CreatedDate", "CreatedById", "EventUuid", "SourceId__c"} <= event.fields.keys()
    assert "Id" not in event.fields


def test_our_channel_leaves_out_what_sfsync_wrote() -> None:
    """The custom channel with its one member, filter and enrichment; the standard channel is empty."""
    schema = our_schema()
    member = schema.channels["SfsyncStock__chn"].members[0]
    assert (member.entity, member.enriched_fields) == ("StockMovement__c", ("StockLevel__c",))
    passes = compile_conditions(member.filter_expression or "")
    assert passes({"BySfsync__c": False})
    assert not passes({"BySfsync__c": True})
    assert schema.channels["ChangeEvents"].members == ()


@pytest.mark.parametrize("name", ["Organization", "User", "Product2", "Location", "Order", "OrderItem"])
def test_ordinary_objects_are_there(name: str) -> None:
    """The standard objects point only at objects that exist."""
    schema = our_schema()
    sobject = schema.objects[name]
    assert len(sobject.key_prefix) == 3
    assert {field.reference_to for field in sobject.fields.values()} - {None} <= schema.objects.keys()


def test_key_prefixes_are_unique() -> None:
    """An id tells its object."""
    prefixes = [sobject.key_prefix for sobject in our_schema().objects.values()]
    assert len(set(prefixes)) == len(prefixes)


def test_another_project_is_read_too(project: Project) -> None:
    """Text names, lookups, shared picklists, formulas over parents, standard objects, inline fields."""
    project.write(
        "force-app/globalValueSets/Sizes.globalValueSet-meta.xml",
        document(
            "GlobalValueSet",
            "<customValue><fullName>S</fullName></customValue><customValue><fullName>L</fullName></customValue>",
        ),
    )
    project.field("Size__c", "<type>Picklist</type><valueSet><valueSetName>Sizes</valueSetName></valueSet>")
    project.field(
        "Product__c",
        "<type>Lookup</type><referenceTo>Product2</referenceTo><relationshipName>Boxes</relationshipName>",
    )
    project.field(
        "Code__c", "<type>Text</type><formula>Product__r.ProductCode &amp; '-' &amp; text(Size__c)</formula>"
    )
    project.field("Number__c", "<type>AutoNumber</type><displayFormat>B-{000}</displayFormat>")
    project.field("Weight__c", NUMBER, owner="force-app/objects/Product2")
    project.write(
        "force-app/more/objects/Lid__c/Lid__c.object-meta.xml",
        document("CustomObject", f"{OBJECT}<fields><fullName>Deep__c</fullName>{NUMBER}</fields>"),
    )
    schema = load_schema(project.folder)
    box = schema.objects["Box__c"]
    assert box.fields["Size__c"].picklist == ("S", "L")
    assert box.fields["Product__c"].relationship_name == "Product__r"
    assert box.fields["Product__c"].child_relationship_name == "Boxes__r"
    assert not box.fields["Product__c"].required
    assert (box.fields["Code__c"].read_only, box.fields["Code__c"].type) == (True, FieldType.STRING)
    assert box.fields["Number__c"].auto_number == "B-{000}"
    assert box.fields["Name"].auto_number is None
    assert "Weight__c" in schema.objects["Product2"].fields
    assert "Deep__c" in schema.objects["Lid__c"].fields


def test_all_problems_are_told_at_once_with_file_and_element(project: Project) -> None:
    """Five files are wrong in five ways, and each has its line."""
    project.field("Odd__c", "<type>Location</type>")
    project.field("Size__c", "<type>Text</type><length>many</length>")
    project.field("Sum__c", "<type>Number</type><formula>VLOOKUP(1, 2, 3)</formula>")
    project.write(f"{BOX}/validationRules/Rule.validationRule-meta.xml", rule("Nope__c &gt; 1"))
    project.write(f"{BOX}/fields/Broken__c.field-meta.xml", "<CustomField>")
    problems = project.problems()
    assert len(problems) == 5
    for file, complaint in (
        ("fields/Odd__c.field-meta.xml", "<type> Location of field Odd__c is not simulated"),
        ("fields/Size__c.field-meta.xml", "<length> must be a whole number"),
        ("fields/Sum__c.field-meta.xml", "<formula> of Sum__c: the function VLOOKUP is not supported"),
        (
            "validationRules/Rule.validationRule-meta.xml",
            "<errorConditionFormula> of Rule: Nope__c is not a field",
        ),
        ("fields/Broken__c.field-meta.xml", "not well-formed XML"),
    ):
        assert any(f"{BOX}/{file}: " in problem and complaint in problem for problem in problems), complaint


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<type>Lookup</type><referenceTo>Nope__c</referenceTo>", "<referenceTo> Nope__c"),
        ("<type>Lookup</type>", "<referenceTo> is missing"),
        ("<type>Picklist</type>", "<valueSet> of picklist X__c is missing"),
        ("<type>Picklist</type><valueSet><valueSetName>No</valueSetName></valueSet>", "<valueSetName> No"),
        ("<type>Text</type>", "<length> of text field X__c"),
        ("<type>Number</type><precision>30</precision>", "<precision> 30"),
        ("<type>Text</type><length>9</length><required>maybe</required>", "<required> must be true or false"),
        ("<type>Number</type><formula>X__c + 1</formula>", "<formula> of X__c reads itself"),
        ("<type>Number</type><formula>1 +</formula>", "<formula> of X__c: syntax error"),
        (f"{NUMBER}<defaultValue>NOSUCH()</defaultValue>", "<defaultValue> of X__c: the function NOSUCH"),
        ("<type>AutoNumber</type>", "<displayFormat> is missing"),
        ("<type>Summary</type><summaryOperation>avg</summaryOperation>", "<summaryOperation> avg"),
        (
            "<type>Summary</type><summaryOperation>count</summaryOperation>"
            "<summaryForeignKey>Nope__c.Box__c</summaryForeignKey>",
            "<summaryForeignKey> of X__c: Nope__c is not in the source",
        ),
        (
            "<type>Summary</type><summaryOperation>count</summaryOperation>"
            "<summaryForeignKey>Order.OwnerId</summaryForeignKey>",
            "is not a master-detail relationship to Box__c",
        ),
    ],
)
def test_a_wrong_field_is_named(project: Project, body: str, complaint: str) -> None:
    """Each mistake by its element."""
    project.field("X__c", body)
    problems = project.problems()
    assert any(complaint in problem and problem.startswith(f"{BOX}/fields/X__c.") for problem in problems), (
        problems
    )


def test_formulas_that_read_each_other_in_a_circle_are_refused(project: Project) -> None:
    """Neither could ever be worked out."""
    project.field("A__c", "<type>Number</type><formula>B__c + 1</formula>")
    project.field("B__c", "<type>Number</type><formula>a__C + 1</formula>")
    assert [problem.partition(": ")[2] for problem in project.problems()] == [
        "<formula> of A__c reads itself",
        "<formula> of B__c reads itself",
    ]


def test_a_roll_up_has_the_decimals_of_what_it_sums(project: Project) -> None:
    """And a sum of text is refused."""
    lid = "force-app/objects/Lid__c"
    project.write(f"{lid}/Lid__c.object-meta.xml", document("CustomObject", OBJECT))
    project.field(
        "Box__c",
        "<type>MasterDetail</type><referenceTo>Box__c</referenceTo><relationshipName>Lids</relationshipName>",
        owner=lid,
    )
    project.field("Price__c", "<type>Currency</type><precision>10</precision><scale>2</scale>", owner=lid)
    summary = "<type>Summary</type><summaryForeignKey>Lid__c.Box__c</summaryForeignKey>"
    project.field(
        "Total__c",
        f"{summary}<summaryOperation>sum</summaryOperation><summarizedField>Lid__c.Price__c</summarizedField>"
        "<summaryFilterItems><field>Lid__c.Price__c</field><operation>greaterThan</operation><value>1</value>"
        "</summaryFilterItems>",
    )
    project.field("Count__c", f"{summary}<summaryOperation>count</summaryOperation>")
    fields = load_schema(project.folder).objects["Box__c"].fields
    assert (fields["Total__c"].type, fields["Total__c"].scale) == (FieldType.CURRENCY, 2)
    assert fields["Total__c"].roll_up == RollUp(
        "sum", "Lid__c", "Price__c", "Box__c", (("Price__c", "greaterThan", "1"),)
    )
    assert fields["Count__c"].roll_up == RollUp("count", "Lid__c", None, "Box__c")
    project.field(
        "Bad__c",
        f"{summary}<summaryOperation>sum</summaryOperation><summarizedField>Lid__c.Name</summarizedField>",
    )
    assert "Lid__c.Name is not a field that sum can be taken of" in project.problems()[0]


def test_a_channel_member_must_fit_its_object(project: Project) -> None:
    """Unknown channel, entity, enriched field, and a filter through a parent."""
    members = "force-app/platformEventChannelMembers"
    project.write(
        "force-app/platformEventChannels/Box__chn.platformEventChannel-meta.xml",
        document("PlatformEventChannel", "<channelType>data</channelType><label>b</label>"),
    )
    project.write(
        f"{members}/Nowhere.platformEventChannelMember-meta.xml",
        document(
            "PlatformEventChannelMember",
            "<eventChannel>No__chn</eventChannel><selectedEntity>Box__ChangeEvent</selectedEntity>",
        ),
    )
    project.write(
        f"{members}/Nobody.platformEventChannelMember-meta.xml",
        document(
            "PlatformEventChannelMember",
            "<eventChannel>Box__chn</eventChannel><selectedEntity>Nope__ChangeEvent</selectedEntity>",
        ),
    )
    project.write(
        f"{members}/Box.platformEventChannelMember-meta.xml",
        document(
            "PlatformEventChannelMember",
            "<enrichedFields><name>Nope__c</name></enrichedFields><eventChannel>Box__chn</eventChannel>"
            "<filterExpression>Owner.Name = 'x'</filterExpression>"
            "<selectedEntity>Box__ChangeEvent</selectedEntity>",
        ),
    )
    problems = "\n".join(project.problems())
    for complaint in (
        "Nowhere.platformEventChannelMember-meta.xml: <eventChannel> No__chn is not in the source",
        "Nobody.platformEventChannelMember-meta.xml: <selectedEntity>: Nope__c is not an object",
        "Box.platformEventChannelMember-meta.xml: <enrichedFields> Nope__c is not a field of Box__c",
        "Owner.Name is not a field that events of Box__c can be filtered by",
    ):
        assert complaint in problems


def test_an_error_field_of_a_rule_must_exist(project: Project) -> None:
    """The message could not be shown anywhere."""
    project.write(
        f"{BOX}/validationRules/Rule.validationRule-meta.xml",
        rule("ISNEW()", more="<errorDisplayField>Nope__c</errorDisplayField>"),
    )
    assert "<errorDisplayField> Nope__c is not a field of Box__c" in project.problems()[0]


def test_objects_that_cannot_be_made_are_named(project: Project) -> None:
    """A standard object that is not simulated, an object without its file, an object without a name field."""
    project.field("Extra__c", NUMBER, owner="force-app/objects/Account")
    project.field("Extra__c", NUMBER, owner="force-app/objects/Lost__c")
    project.write(
        "force-app/objects/Bare__c/Bare__c.object-meta.xml", document("CustomObject", "<label>B</label>")
    )
    problems = "\n".join(project.problems())
    for complaint in (
        "the standard object Account is not simulated",
        "Lost__c.object-meta.xml is missing",
        "Bare__c.object-meta.xml: <nameField> is missing",
    ):
        assert complaint in problems


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "this is no SFDX project"),
        ("{", "packageDirectories cannot be read"),
        ("[]", "packageDirectories cannot be read"),
        ('{"packageDirectories": [{"path": "gone"}]}', "there is no folder gone"),
    ],
)
def test_a_folder_that_is_no_project_is_refused(tmp_path: Path, text: str | None, complaint: str) -> None:
    """The project file is the first thing to be checked."""
    if text is not None:
        (tmp_path / "sfdx-project.json").write_text(text, "utf-8")
    with pytest.raises(SourceError, match=complaint):
        load_schema(tmp_path)


@pytest.mark.parametrize(
    ("event", "entity"),
    [
        ("StockMovement__ChangeEvent", "StockMovement__c"),
        ("OrderChangeEvent", "Order"),
        ("StockEvent__e", None),
    ],
)
def test_a_change_event_names_its_object(event: str, entity: str | None) -> None:
    """Custom and standard objects; anything else is no change event."""
    assert entity_of_change_event(event) == entity
