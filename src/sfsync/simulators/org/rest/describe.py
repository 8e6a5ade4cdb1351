"""Descriptions of objects and fields, in the shape that metadata-driven clients read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sfsync.simulators.org.engine import Engine
from sfsync.simulators.org.model import Field, FieldType
from sfsync.simulators.org.plans import ObjectPlan
from sfsync.simulators.org.rest.preconditions import last_modified, unchanged
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse
from sfsync.simulators.org.rest.rows import Rows
from sfsync.simulators.org.rollups import NUMBER_TYPES

_SOAP_TYPES = {
    FieldType.ID: "tns:ID",
    FieldType.REFERENCE: "tns:ID",
    FieldType.BOOLEAN: "xsd:boolean",
    FieldType.DOUBLE: "xsd:double",
    FieldType.CURRENCY: "xsd:double",
    FieldType.PERCENT: "xsd:double",
    FieldType.INT: "xsd:int",
    FieldType.DATE: "xsd:date",
    FieldType.DATETIME: "xsd:dateTime",
}
_BYTES_PER_CHARACTER = 3


class Describe:
    """The `sobjects` and `sobjects/X/describe` resources."""

    def __init__(self, engine: Engine, rows: Rows, since: datetime) -> None:
        self._engine = engine
        self._rows = rows
        self._since = since  # an org's metadata are those of its start

    async def everything(self, request: ApiRequest) -> ApiResponse:
        if (known := unchanged(request, self._since)) is not None:
            return known
        objects = [_summary(plan, request.prefix) for plan in self._engine.plans.values()]
        body = {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects}
        return ApiResponse(200, body, last_modified(self._since))

    async def basic(self, request: ApiRequest, name: str) -> ApiResponse:
        plan = self._rows.plan(name)
        table = self._engine.store.tables[plan.sobject.name]
        url = f"{request.prefix}/sobjects/{plan.sobject.name}"
        recent = [
            {"attributes": {"type": plan.sobject.name, "url": f"{url}/{record_id}"}, "Id": record_id}
            for record_id in list(table.rows)[:-6:-1]
        ]
        return ApiResponse(200, {"objectDescribe": _summary(plan, request.prefix), "recentItems": recent})

    async def describe(self, request: ApiRequest, name: str) -> ApiResponse:
        plan = self._rows.plan(name)
        if (known := unchanged(request, self._since)) is not None:
            return known
        body = _summary(plan, request.prefix)
        body["fields"] = [_field(column, plan) for column in plan.sobject.fields.values()]
        body["childRelationships"] = [
            _child(child.name, column) for child, column in (*plan.details, *plan.lookups)
        ]
        body["recordTypeInfos"] = []
        body["supportedScopes"] = [{"label": "All", "name": "everything"}]
        body["actionOverrides"] = []
        body["namedLayoutInfos"] = []
        body["searchLayoutable"] = False
        return ApiResponse(200, body, last_modified(self._since))


def _summary(plan: ObjectPlan, prefix: str) -> dict[str, Any]:
    sobject = plan.sobject
    writable = sobject.name not in {"Organization", "User"}
    ordinary = not sobject.is_event
    url = f"{prefix}/sobjects/{sobject.name}"
    urls = {"sobject": url, "describe": f"{url}/describe", "rowTemplate": f"{url}/{{ID}}"}
    return {
        "activateable": False,
        "associateEntityType": None,
        "associateParentEntity": None,
        "createable": writable,
        "custom": sobject.name.endswith(("__c", "__e")),
        "customSetting": False,
        "deepCloneable": False,
        "deletable": writable and ordinary,
        "deprecatedAndHidden": False,
        "feedEnabled": False,
        "hasSubtypes": False,
        "isInterface": False,
        "isSubtype": False,
        "keyPrefix": sobject.key_prefix,
        "label": sobject.label,
        "labelPlural": sobject.label_plural,
        "layoutable": ordinary,
        "mergeable": False,
        "mruEnabled": False,
        "name": sobject.name,
        "queryable": ordinary,
        "replicateable": ordinary,
        "retrieveable": ordinary,
        "searchable": False,
        "triggerable": True,
        "undeletable": writable and ordinary,
        "updateable": writable and ordinary,
        "urls": urls,
    }


def _child(child: str, column: Field) -> dict[str, Any]:
    relationship = column.child_relationship_name
    return {
        "cascadeDelete": column.master_detail,
        "childSObject": child,
        "deprecatedAndHidden": False,
        "field": column.name,
        "junctionIdListNames": [],
        "junctionReferenceTo": [],
        "relationshipName": relationship,
        "restrictedDelete": False,
    }


def _field(column: Field, plan: ObjectPlan) -> dict[str, Any]:
    number = column.type in NUMBER_TYPES
    length = 0 if number or column.type in _NO_LENGTH else column.length or 255
    calculated = column.formula is not None or column.roll_up is not None
    return {
        "aggregatable": True,
        "aiPredictionField": False,
        "autoNumber": column.auto_number is not None,
        "byteLength": 18 if column.type is FieldType.ID else length * _BYTES_PER_CHARACTER,
        "calculated": calculated,
        "calculatedFormula": column.formula,
        "cascadeDelete": column.master_detail,
        "caseSensitive": column.case_sensitive,
        "compoundFieldName": None,
        "controllerName": None,
        "createable": plan.writable(column, inserting=True) and plan.sobject.name != "Organization",
        "custom": column.name.endswith("__c"),
        "defaultValue": False if column.type is FieldType.BOOLEAN else None,
        "defaultValueFormula": column.default,
        "defaultedOnCreate": column.default is not None or column.read_only,
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": column.precision or 0 if column.type is FieldType.INT else 0,
        "displayLocationInDecimal": False,
        "encrypted": False,
        "externalId": column.external_id,
        "extraTypeInfo": None,
        "filterable": column.type is not FieldType.TEXTAREA,
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": column.formula is not None and column.formula_blanks_as_zero,
        "groupable": not number and column.formula is None,
        "highScaleNumber": False,
        "htmlFormatted": False,
        "idLookup": column.name == "Id" or column.external_id or column.unique,
        "inlineHelpText": None,
        "label": column.label,
        "length": length,
        "mask": None,
        "maskType": None,
        "name": column.name,
        "nameField": column.name == "Name",
        "namePointing": False,
        "nillable": not column.required and column.type is not FieldType.BOOLEAN,
        "permissionable": column.name.endswith("__c") and not column.required,
        "picklistValues": [_picklist_value(value, column) for value in column.picklist],
        "polymorphicForeignKey": False,
        "precision": column.precision or 18 if number and column.type is not FieldType.INT else 0,
        "queryByDistance": False,
        "referenceTargetField": None,
        "referenceTo": [column.reference_to] if column.reference_to else [],
        "relationshipName": column.relationship_name,
        "relationshipOrder": 0 if column.master_detail else None,
        "restrictedDelete": False,
        "restrictedPicklist": column.restricted_picklist,
        "scale": column.scale or 0,
        "searchPrefilterable": False,
        "soapType": _SOAP_TYPES.get(column.type, "xsd:string"),
        "sortable": column.type is not FieldType.TEXTAREA,
        "type": str(column.type),
        "unique": column.unique,
        "updateable": plan.writable(column, inserting=False) and not plan.sobject.is_event,
        "writeRequiresMasterRead": False,
    }


_NO_LENGTH = frozenset({FieldType.BOOLEAN, FieldType.DATE, FieldType.DATETIME})


def _picklist_value(value: str, column: Field) -> dict[str, Any]:
    default = column.default == f'"{value}"'
    return {"active": True, "defaultValue": default, "label": value, "validFor": None, "value": value}
