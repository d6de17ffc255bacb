"""Receipts: what is known about each file that proves a spend, without the file."""

from __future__ import annotations

from pleo_connector.catalogue.stream import Column, CompanyIn, Paging, Stream, SyncMode
from pleo_connector.catalogue.types import LogicalType as T

RECEIPTS = Stream(
    name="receipts",
    record="receipt",
    title="Receipts",
    description="Receipts of accounting entries: kind, size and origin of each file. Links to the files end after 24 hours and are never stored.",
    operation="searchReceiptsByPostV6",
    method="POST",
    path="/v1/accounting-entries/receipts:search",
    scope="accounting-entries:read",
    company_in=CompanyIn.QUERY,
    mode=SyncMode.NEWEST_FIRST,
    paging=Paging.CURSOR,
    limit=100,
    sort=(("createdAt", "DESC"), ("id", "DESC")),
    newest="created_at",
    # Deleted receipts have no flag: if requested, they would look like living ones. Without them, a complete sweep finds them absent.
    body=(("includeDeleted", False),),
    columns=(
        Column("id", T.UUID, "Receipt key.", required=True),
        Column("accountingEntryId", T.UUID, "Entry that the receipt belongs to.", required=True),
        Column("fileType", T.TEXT, "Role of the file.", required=True, values=("EMBED", "ORIGINAL", "THUMBNAIL", "PREVIEW")),
        Column(
            "mimeType",
            T.TEXT,
            "Format of the file.",
            required=True,
            values=(
                "unknown",
                "application/pdf",
                "application/postscript",
                "application/xml",
                "image/jpeg",
                "image/png",
                "image/heic",
                "image/heif",
                "image/gif",
                "text/xml",
            ),
        ),
        Column("sizeInBytes", T.INTEGER, "Size of the file in bytes.", required=True),
        Column(
            "source",
            T.TEXT,
            "How the receipt came to Pleo.",
            required=True,
            values=(
                "APP_SHARE",
                "BOLT",
                "CAMERA",
                "CASHBACK",
                "EMAIL_FETCHING",
                "EMAIL_FETCHING_BATCHED",
                "EMAIL_FORWARDING",
                "GENERATED_RECEIPT",
                "LOST_RECEIPT",
                "ROGER",
                "STOREBOX",
                "STRIPE",
                "TRAVELPERK",
                "USER",
            ),
        ),
        Column("ocrDocumentId", T.UUID, "Key of the document that text recognition made of it."),
        Column("createdAt", T.TIMESTAMP, "Creation time.", required=True),
    ),
    ignored=(("url", "a link to the file that ends after 24 hours; whoever holds it can read the receipt"),),
)
