"""The connection itself: the installation of this client, and its webhook subscriptions."""

from __future__ import annotations

from pleo_connector.catalogue.stream import Column, CompanyIn, Paging, Stream, SyncMode
from pleo_connector.catalogue.types import LogicalType as T

INSTALLATION = Stream(
    name="installation",
    record="installation",
    title="Installation",
    description="The installation of this client at Pleo: one row for the credential that reads.",
    operation="getClientInstallation",
    method="GET",
    path="/v1/installations/me",
    scope="",
    company_in=CompanyIn.CREDENTIAL,
    mode=SyncMode.SNAPSHOT,
    paging=Paging.ONE,
    columns=(
        Column("id", T.UUID, "Installation key.", required=True),
        Column("applicationId", T.UUID, "Application that is installed.", required=True),
        Column("resource", T.TEXT, "What it is installed for, as a URN: a company or an organisation.", required=True),
        Column(
            "status",
            T.TEXT,
            "State of the installation.",
            required=True,
            values=("ACTIVATED", "INACTIVE", "AUTHORIZED", "PENDING_INTEGRATION", "ERROR"),
        ),
        Column("errorCode", T.TEXT, "Why it is in error.", values=("NOT_ENTITLED", "AUTH_ERROR")),
        Column("createdAt", T.TIMESTAMP, "Creation time.", required=True),
        Column("updatedAt", T.TIMESTAMP, "Last change.", required=True),
    ),
    ignored=(("metadata", "the integration's own settings, free-form: may hold keys"),),
    keeps_unknown=False,
)

SUBSCRIPTIONS = Stream(
    name="subscriptions",
    record="subscription",
    title="Webhook subscriptions",
    description="Webhooks that this client registered at Pleo. Their secrets are never stored.",
    operation="getSubscriptions",
    method="GET",
    path="/v1/subscriptions",
    scope="",
    company_in=CompanyIn.CREDENTIAL,
    mode=SyncMode.SNAPSHOT,
    paging=Paging.CURSOR,
    limit=100,
    deleted_flag="deleted_at",
    columns=(
        Column("id", T.UUID, "Subscription key.", required=True),
        Column("status", T.TEXT, "Whether events are sent.", required=True, values=("INACTIVE", "ACTIVE")),
        Column("eventTypes", T.JSON, "Events that are sent: a list, in some of Pleo's samples a bare text.", required=True),
        Column("endpointAuth.type", T.TEXT, "How Pleo signs in at the endpoint.", values=("NONE", "BASIC")),
        Column("createdAt", T.TIMESTAMP, "Creation time.", required=True),
        Column("updatedAt", T.TIMESTAMP, "Last change.", required=True),
        Column("deletedAt", T.TIMESTAMP, "Deletion time, when deleted."),
        Column("deletedBy", T.TEXT, "Who deleted it.", personal=True),
    ),
    ignored=(
        ("endpointUrl", "an address may carry a token"),
        ("endpointAuth.credentials", "the endpoint's user name, password and token"),
        ("customHeaders", "headers that authenticate Pleo at the endpoint"),
    ),
    keeps_unknown=False,
)
