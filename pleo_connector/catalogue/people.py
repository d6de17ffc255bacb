"""Companies and employees: who spends."""

from __future__ import annotations

from pleo_connector.catalogue.stream import Column, CompanyIn, Paging, Stream, SyncMode
from pleo_connector.catalogue.types import LogicalType as T

COMPANIES = Stream(
    name="companies",
    record="company",
    title="Companies",
    description="Legal entities that the credential covers: one company, or all of an organisation.",
    operation="searchCompanies",
    method="GET",
    path="/v1/companies",
    scope="companies:read",
    company_in=CompanyIn.NOWHERE,
    mode=SyncMode.SNAPSHOT,
    paging=Paging.CURSOR,
    limit=100,
    columns=(
        Column("id", T.UUID, "Company key.", required=True),
        Column("name", T.TEXT, "Company name.", required=True),
        Column("organizationId", T.UUID, "Parent organisation."),
        Column("registrationNumber", T.TEXT, "Official registration number."),
        Column("address.addressLine1", T.TEXT, "Address, first line.", name="address_line1"),
        Column("address.addressLine2", T.TEXT, "Address, second line.", name="address_line2"),
        Column("address.postalCode", T.TEXT, "Postal code.", name="postal_code"),
        Column("address.locality", T.TEXT, "Town or city.", name="locality"),
        Column("address.region", T.TEXT, "State or region.", name="region"),
        Column("address.country", T.COUNTRY, "Country; Pleo does not state the format.", name="country"),
    ),
)

EMPLOYEES = Stream(
    name="employees",
    record="employee",
    title="Employees",
    description="Members of a company. Pleo serves no status and no dates: a missing employee has left or was removed.",
    operation="searchEmployees",
    method="GET",
    path="/v2/employees",
    scope="users:read",
    company_in=CompanyIn.QUERY_CAMEL,
    mode=SyncMode.SNAPSHOT,
    paging=Paging.CURSOR,
    limit=100,
    columns=(
        Column("id", T.UUID, "Employee key.", required=True),
        Column("companyId", T.UUID, "Employing company.", required=True),
        Column("code", T.TEXT, "The customer's own employee code.", personal=True),
        Column("email", T.TEXT, "E-mail address.", required=True, personal=True),
        Column("firstName", T.TEXT, "Given name.", required=True, personal=True),
        Column("lastName", T.TEXT, "Family name.", required=True, personal=True),
        Column("jobTitle", T.TEXT, "Job title.", personal=True),
        Column("phone", T.TEXT, "Phone number.", personal=True),
    ),
)
