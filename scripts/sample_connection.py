"""Sample installation and webhook subscriptions: few enough to be written out."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]

INSTALLATION: list[Record] = [
    {
        "id": "5c1f0a52-6a0d-4c1e-9d55-0f2f3f4f9a01",
        "applicationId": "8e7a3a1c-2f6b-4d1e-8a8e-3b6f0c9d1102",
        "resource": "urn:pleo:organisation:set-by-the-sandbox",
        "status": "ACTIVATED",
        "metadata": {"apiKeyOfTheIntegration": "sample-secret-in-metadata"},
        "createdAt": "2025-10-01T08:30:00Z",
        "updatedAt": "2025-10-01T08:30:00Z",
    }
]

SUBSCRIPTIONS: list[Record] = [
    {
        "id": "a4b1c7de-53f0-4e0a-9c8b-1d2e3f405101",
        "endpointUrl": "https://hooks.nordlys.example/pleo?token=sample-secret-in-url",
        "endpointAuth": {"type": "BASIC", "credentials": {"username": "pleo", "password": "sample-secret-password", "token": None}},
        "customHeaders": {"X-Api-Key": "sample-secret-in-header"},
        "eventTypes": ["v1.export-job.created", "v1.vendor.created"],
        "status": "ACTIVE",
        "createdAt": "2026-02-03T09:15:30.123Z",
        "updatedAt": "2026-02-03T09:15:30.123456789Z",
    },
    {
        "id": "a4b1c7de-53f0-4e0a-9c8b-1d2e3f405102",
        "endpointUrl": "https://hooks.falkenried.example/pleo",
        "endpointAuth": {"type": "NONE"},
        "eventTypes": ["v1.vendor.created"],
        "status": "INACTIVE",
        "createdAt": "2025-11-20T10:00:00Z",
        "updatedAt": "2026-05-04T12:00:00Z",
        "deletedAt": "2026-05-04T12:00:00Z",
        "deletedBy": "urn:pleo:employee:removed",
    },
]
