"""Readable operations of Pleo's API that no stream reads, each with the reason.

A test holds this against the contract: every operation there is read by a stream or named here.
"""

from __future__ import annotations

from types import MappingProxyType

_BY_ID = "one record by its key: the list has it"
_OAUTH = "part of OAuth, not data"

LEFT_OUT = MappingProxyType(
    {
        # One record at a time
        "getCompanyById": _BY_ID,
        "getEmployeeById": _BY_ID,
        "getAccountV1": _BY_ID,
        "getTagGroup": _BY_ID,
        "getTagGroupDimension": _BY_ID,
        "getTag": _BY_ID,
        "getAggregatedTagGroups": "leaves out archived groups unless they are named: the dimensions of each group are read instead",
        "getTagDimensionValues": "one call for each tag: the aggregated tags have the values",
        "getDimensionValue": _BY_ID,
        "getTaxCode": _BY_ID,
        "getVendorById": _BY_ID,
        "externalGetAccountingEntryV1": _BY_ID,
        "getExportJobByIdV3": _BY_ID,
        "getSubscriptionById": _BY_ID,
        # The same records by another way
        "searchAccountsV4": "beta path of the accounts that /v1/chart-of-accounts:search serves",
        "getAccountV4": "beta path of the accounts that /v1/chart-of-accounts:search serves",
        "getTags": "one call for each tag group: the aggregated tags have them",
        "searchTagsPost": "the aggregated tags have the same records with their group and values",
        "searchTags": "deprecated by Pleo in favour of POST /v0/tags:search",
        "externalSearchCoreAccountingEntriesV1": "deprecated by Pleo in favour of /v1/accounting-entries:search",
        "getCoreAccountingEntryV6ById": "one record by its key, in the shape of the deprecated search",
        "getAllReceiptsV6": "one call for each entry: the receipts search has them",
        "getReceiptFileV6": "one receipt by its key: the receipts search has it",
        "getExportJobItemByAccountingEntryIdV3": "hidden from Pleo's reference; the items of a job have it",
        "searchExportJobItemsV3": "deprecated by Pleo and hidden from its reference",
        # Computed on request, nothing to load
        "getTagGroupUsage": "counts derived from entries, one call for each group",
        "calculateTax": "a calculator, not a resource",
        # Not data
        "introspect": "describes the credential: `connect` and `status` ask it",
        "getSubscriptionActivities": "an audit trail of webhook settings, not spend",
        "getSubscriptionSecret": "a signing secret: never read",
        "oauthAuthorize": _OAUTH,
        "oauthToken": _OAUTH,
        "oauthIntrospect": _OAUTH,
    }
)
"""operationId -> why no stream reads it."""
