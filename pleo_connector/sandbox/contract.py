"""What Pleo's contract says about single operations beyond what the catalogue declares.

The catalogue says what the connector sends; this says what Pleo insists on. An operation that is
not listed gets the defaults: optional company, cursor and offset paging, any limit to 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CompanyRule(StrEnum):
    """What happens without a company."""

    REQUIRED = "required"
    ORGANISATION_OR = "one of company_id or organization_id"
    OPTIONAL = "optional"


class Archived(StrEnum):
    """When archived records are served."""

    ALWAYS = "unless the body's `archived` filters"
    QUERY_FLAG = "only with query include_archived=true"
    BODY_FLAG = "only with body includeArchived=true, or as `archived` says"


@dataclass(frozen=True, slots=True)
class Operation:
    """Rules of one operation."""

    company: CompanyRule = CompanyRule.OPTIONAL
    organisation: bool = False
    """Whether `organization_id` is read."""
    required_body: tuple[tuple[str, type], ...] = ()
    offset: bool = True
    default_limit: int = 50
    max_limit: int = 100
    sort_keys: tuple[str, ...] | None = None
    """None: any field of the record that is text, a number or a time (Pleo publishes no list)."""
    archived: Archived = Archived.ALWAYS
    windows: tuple[str, ...] = ()
    """Date fields with `<field>Start` (inclusive) and `<field>End` (exclusive) in the body, one pair a request.
    Pleo does not say which bounds are inclusive; the sandbox's choice lets neighbouring windows share no row."""
    any_of: tuple[tuple[str, str], ...] = ()
    """Body lists that keep records whose field is in them: (body field, record field)."""
    equals: tuple[tuple[str, str], ...] = ()
    """Values (query for GET, body for POST) that keep records whose field is equal."""
    deleted_field: str | None = None
    """Records with this time set are served only with body includeDeleted=true."""
    charset: str = ";charset=UTF-8"
    identity: tuple[str, ...] = ("id",)
    """Fields that together are the key under which the sandbox keeps a record."""
    owned_by: tuple[str, str] | None = None
    """(field, stream) of the record that knows the company, where the record itself does not name it."""
    child_of: str | None = None
    """The field that holds the key of the record that the request reads for."""


_ENTRIES = Operation(
    company=CompanyRule.ORGANISATION_OR,
    organisation=True,
    required_body=(("includeDeleted", bool),),
    offset=False,
    default_limit=20,
    sort_keys=("settledAt", "performedAt", "id", "bookkeepingDate"),
    windows=("performedAt", "settledAt", "bookkeepingDate"),
    any_of=(
        ("accountIds", "accountId"),
        ("employeeIds", "employeeId"),
        ("exportStatus", "exportStatus"),
        ("families", "family"),
        ("foreignExtensionIds", "foreignExtensionId"),
        ("reviewStatus", "reviewStatus"),
        ("status", "status"),
        ("subFamilies", "subFamily"),
        ("tagRowIds", "tags.tagId"),
        ("taxCodeIds", "taxCodeId"),
        ("teamIds", "teamId"),
        ("transactionValueCurrencies", "transactionValue.currency"),
    ),
    deleted_field="deletedAt",
)

OPERATIONS = {
    "searchCompanies": Operation(organisation=True),
    "searchEmployees": Operation(equals=(("email", "email"), ("code", "code"))),
    "searchAccountsV1": Operation(
        company=CompanyRule.REQUIRED,
        required_body=(("companyId", str), ("excludeIfAssignedToCategory", bool), ("excludeIfAssignedToContraAccount", bool)),
        any_of=(("ids", "id"), ("codes", "code")),
        equals=(("code", "code"), ("externalId", "externalId"), ("name", "name")),
        charset="",
    ),
    "getTagGroups": Operation(company=CompanyRule.ORGANISATION_OR, organisation=True, archived=Archived.QUERY_FLAG),
    "searchAggregatedTags": Operation(archived=Archived.BODY_FLAG, any_of=(("tagGroupIds", "group.id"), ("tagIds", "id"))),
    "getTaxCodes": Operation(any_of=(("taxCodeIds", "id"),), equals=(("code", "code"), ("type", "type"))),
    "searchVendors": Operation(
        company=CompanyRule.REQUIRED,
        any_of=(
            ("accountingSystems", "accountingSystem"),
            ("codes", "code"),
            ("countries", "country"),
            ("externalIds", "externalId"),
            ("ids", "id"),
            ("states", "state"),
            ("taxRegistrationNumbers", "taxRegistrationNumber"),
        ),
        equals=(("name", "name"),),
    ),
    "externalSearchAccountingEntriesV1": _ENTRIES,
    "searchReceiptsByPostV6": Operation(
        company=CompanyRule.ORGANISATION_OR,
        organisation=True,
        required_body=(("includeDeleted", bool),),
        offset=False,
        default_limit=10,
        sort_keys=("createdAt", "id", "size"),
        any_of=(("accountingEntryIds", "accountingEntryId"), ("mimeType", "mimeType"), ("source", "source")),
        equals=(("fileType", "fileType"),),
        owned_by=("accountingEntryId", "accounting_entries"),
    ),
    "getTagGroupDimensions": Operation(owned_by=("groupId", "tag_groups"), child_of="groupId"),
    "getExportJobsListV3": Operation(any_of=(("statuses", "status"),)),
    "getExportJobItemsV3": Operation(
        identity=("exportJobId", "accountingEntryId"),
        owned_by=("exportJobId", "export_jobs"),
        child_of="exportJobId",
        equals=(("status", "status"),),
    ),
    "getExportItemsV3": Operation(identity=("accountingEntryId",)),
    "getSubscriptions": Operation(equals=(("status", "status"),)),
}


_PLAIN = Operation()


def operation(name: str) -> Operation:
    """The rules of an operationId."""
    return OPERATIONS.get(name, _PLAIN)
