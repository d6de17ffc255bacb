"""Vendors: the suppliers a company has on record."""

from __future__ import annotations

from pleo_connector.catalogue.stream import Column, CompanyIn, Paging, Stream, SyncMode
from pleo_connector.catalogue.types import LogicalType as T

VENDORS = Stream(
    name="vendors",
    record="vendor",
    title="Vendors",
    description="Supplier records of a company, archived ones included.",
    operation="searchVendors",
    method="POST",
    path="/v1/vendors:search",
    scope="vendors:read",
    company_in=CompanyIn.QUERY,
    mode=SyncMode.SNAPSHOT,
    paging=Paging.CURSOR,
    limit=100,
    columns=(
        Column("id", T.UUID, "Vendor key.", required=True),
        Column("companyId", T.UUID, "Owning company.", required=True),
        Column("name", T.TEXT, "Official name.", required=True),
        Column(
            "state",
            T.TEXT,
            "ACTIVE is in step with the accounting system; DRAFT is not there yet.",
            required=True,
            values=("DRAFT", "ACTIVE", "ARCHIVED"),
        ),
        Column("code", T.TEXT, "Vendor code in the accounting system."),
        Column("externalId", T.TEXT, "Vendor key in the accounting system."),
        Column("accountingSystem", T.TEXT, "Linked accounting system."),
        Column("country", T.COUNTRY, "ISO 3166 country code."),
        Column("defaultCurrency", T.CURRENCY, "ISO 4217 currency code.", required=True),
        Column("registrationNumber", T.TEXT, "Company registration number."),
        Column("taxRegistrationNumber", T.TEXT, "VAT or tax number."),
        Column("createdAt", T.TIMESTAMP, "Creation time."),
        Column("updatedAt", T.TIMESTAMP, "Last change; equals the creation time at first."),
    ),
)
