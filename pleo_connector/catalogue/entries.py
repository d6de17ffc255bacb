"""Accounting entries: every spend, with splits, tags, attendees and receipt links."""

from __future__ import annotations

from pleo_connector.catalogue.entry_values import EXPORT_STATUSES, FAMILY_MEANINGS, REVIEW_STATUSES, STATUS_MEANINGS, SUB_FAMILIES
from pleo_connector.catalogue.stream import Child, Column, CompanyIn, Paging, Stream, SyncMode, Window
from pleo_connector.catalogue.types import LogicalType as T

_TAG_COLUMNS = (
    Column("tagGroupId", T.UUID, "Tag group the choice was made in.", required=True),
    Column("tagId", T.UUID_OR_UNKNOWN, "Chosen tag."),
)

ACCOUNTING_ENTRIES = Stream(
    name="accounting_entries",
    record="accounting_entry",
    title="Accounting entries",
    description="Every spend and money movement. Pleo serves no tax amounts here; those are on export items.",
    operation="externalSearchAccountingEntriesV1",
    method="POST",
    path="/v1/accounting-entries:search",
    scope="accounting-entries:read",
    company_in=CompanyIn.QUERY,
    mode=SyncMode.WINDOWED,
    paging=Paging.CURSOR,
    limit=100,
    sort=(("performedAt", "ASC"), ("id", "ASC")),
    body=(("includeDeleted", True),),
    window=Window(
        "performedAtStart",
        "performedAtEnd",
        "performed_at",
        final=(
            ("status", ("COMPLETED", "COMPLETED_EXTERNALLY")),
            ("review_status", ("OK", "NOT_REQUIRED")),
            ("export_status", ("EXPORTED",)),
        ),
        void=("status", ("CANCELLED", "REJECTED", "ERROR")),
    ),
    deleted_flag="deleted_at",
    columns=(
        Column("id", T.UUID, "Entry key.", required=True),
        Column("companyId", T.UUID, "Owning company.", required=True),
        Column("employeeId", T.UUID, "Spender."),
        Column("teamId", T.UUID, "Team the entry is booked to; no public endpoint resolves it."),
        Column("family", T.TEXT, "Kind of entry.", required=True, meanings=FAMILY_MEANINGS),
        Column("subFamily", T.TEXT, "Finer kind.", meanings=(*SUB_FAMILIES.items(),)),
        Column("status", T.TEXT, "Payment state.", required=True, meanings=STATUS_MEANINGS),
        Column("reviewStatus", T.TEXT, "Approval state.", required=True, meanings=(*REVIEW_STATUSES.items(),)),
        Column("exportStatus", T.TEXT, "Bookkeeping export state.", required=True, meanings=(*EXPORT_STATUSES.items(),)),
        Column("performedAt", T.TIMESTAMP, "When the spend happened.", required=True),
        Column("settledAt", T.TIMESTAMP, "When funds moved; NULL while unsettled."),
        Column("bookkeepingDate", T.TIMESTAMP, "Settlement time; purchase time for out-of-pocket entries.", name="bookkeeping_at"),
        Column("transactionValue", T.MONEY, "Amount in payment currency.", required=True),
        Column("totalBillValue", T.MONEY, "Booked amount in company currency."),
        Column(
            "accountId",
            T.UUID_OR_UNKNOWN,
            "Category that the spender chose; it often stands in no list of Pleo's, `spend` has its name where one is known.",
        ),
        Column("accountCode", T.TEXT, "Ledger account code."),
        Column("taxCodeId", T.UUID, "Tax code."),
        Column("note", T.TEXT, "The spender's note.", personal=True),
        Column("merchant.name", T.TEXT, "Where it was spent; the live API serves it, the published contract has no such field."),
        Column("merchant.merchantCategoryCode", T.TEXT, "Merchant category code (ISO 18245), four digits.", name="merchant_category_code"),
        Column("employee.id", T.UUID, "Spender, in the inline employee object that some callers get.", name="inline_employee_id"),
        Column("employee.email", T.TEXT, "E-mail address of the spender, in that object.", personal=True, same_as="employees.email"),
        Column("employee.firstName", T.TEXT, "Given name of the spender, in that object.", personal=True, same_as="employees.first_name"),
        Column("employee.lastName", T.TEXT, "Family name of the spender, in that object.", personal=True, same_as="employees.last_name"),
        Column("supplier.documentNumber", T.TEXT, "Supplier document number."),
        Column("supplier.documentType", T.TEXT, "Supplier document kind; Pleo publishes no list."),
        Column("supplier.cif", T.TEXT, "Spanish tax number of the supplier."),
        Column("supplier.externalAccountNumber", T.TEXT, "Supplier account outside Pleo."),
        Column("supplier.externalSupplierId", T.TEXT, "Supplier key outside Pleo.", name="supplier_external_id"),
        Column("foreignExtensionId", T.TEXT, "Internal link to other Pleo services."),
        Column("createdAt", T.TIMESTAMP, "Creation time.", required=True),
        Column("updatedAt", T.TIMESTAMP, "Last change.", required=True),
        Column("deletedAt", T.TIMESTAMP, "Deletion time, when deleted."),
    ),
    children=(
        Child(
            name="accounting_entry_splits",
            record="split",
            source="splitItems",
            description="Parts of a split entry; an entry that is not split has none. A part's account code outranks its account.",
            identity="id",
            columns=(
                Column("id", T.UUID, "Split row key.", required=True),
                Column("transactionValue", T.MONEY, "Share in payment currency."),
                Column("totalBillValue", T.MONEY, "Share in company currency."),
                Column(
                    "accountId",
                    T.UUID_OR_UNKNOWN,
                    "Category that the spender chose; it often stands in no list of Pleo's, `spend` has its name where one is known.",
                ),
                Column("accountCode", T.TEXT, "Ledger account code; wins over the account."),
                Column("taxCodeId", T.UUID, "Tax code."),
                Column("createdAt", T.TIMESTAMP, "Creation time.", required=True),
                Column("updatedAt", T.TIMESTAMP, "Last change.", required=True),
            ),
            children=(
                Child(
                    name="accounting_entry_split_tags",
                    record="split_tag",
                    source="tags",
                    description="Tags of one part of a split entry.",
                    columns=_TAG_COLUMNS,
                ),
            ),
        ),
        Child(
            name="accounting_entry_tags",
            record="entry_tag",
            source="tags",
            description="Tags of an entry.",
            columns=_TAG_COLUMNS,
        ),
        Child(
            name="accounting_entry_attendees",
            record="attendee",
            source="attendees",
            description="People present at the spend.",
            columns=(
                Column("id", T.TEXT, "Row key.", required=True),
                Column("attendableId", T.TEXT, "Key of the person.", required=True, personal=True),
                Column("attendableType", T.TEXT, "Employee or contact; Pleo publishes no list.", required=True),
            ),
        ),
        Child(
            name="accounting_entry_receipts",
            record="receipt_link",
            source="receiptIds",
            description="Which receipts are attached to an entry.",
            columns=(Column("", T.UUID, "Receipt key.", name="receipt_id", required=True),),
        ),
    ),
)
