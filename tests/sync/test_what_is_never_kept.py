"""Links and secrets are dropped before anything is kept: not in a column, not in `_extra`, not in quarantine."""

from __future__ import annotations

from pathlib import Path

from pleo_connector import sync
from pleo_connector.sync.raw_packing import unpacked
from tests.place import Place

SECRETS = (b"sample-secret", b"files.pleo-sandbox.example", b"/files/receipts/", b"X-Sandbox-Signature", b"whsec_")


def everything(place: Place) -> bytes:
    """All text of all tables, the pages kept as served, and the file's own bytes (DuckDB compresses some)."""
    tables = [name for (name,) in place.rows("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'pleo'")]
    texts = [str(place.rows(f"SELECT t::VARCHAR FROM pleo.{name} t")) for name in tables]
    pages = [unpacked(page, size) for page, size in place.rows("SELECT page, size FROM pleo._raw_pages")]
    return "".join(texts).encode() + b"".join(pages) + Path(place.warehouse.location).read_bytes()


def test_no_link_and_no_secret_reaches_the_warehouse(place: Place) -> None:
    subscription, other = place.pleo.state.records("subscriptions")
    receipt = place.pleo.state.records("receipts")[0]
    place.pleo.state.put("subscriptions", subscription | {"secret": "whsec_1", "endpointAuth": {"type": "BASIC", "apiKey": "whsec_2"}})
    place.pleo.state.put("subscriptions", other | {"customHeaders": {"a": "whsec_3"}, "createdAt": "never"})
    place.pleo.state.put("receipts", receipt | {"sizeInBytes": "much", "kept": "as served"})
    report = place.run("receipts", "subscriptions", "installation")
    assert report.failures == {}
    assert (report.streams["receipts"].quarantined, report.streams["subscriptions"].quarantined) == (1, 1)
    found = everything(place)
    assert receipt["id"].encode() in found
    assert [secret for secret in SECRETS if secret in found] == []
    held = place.rows("SELECT record FROM pleo._quarantine WHERE stream = 'receipts'")
    assert '"kept":"as served"' in held[0][0], "only the link is gone from a record set aside"


def test_a_link_in_an_undeclared_field_is_kept_nowhere_and_is_no_change_when_it_is_signed_anew(place: Place) -> None:
    vendor, broken = place.pleo.state.records("vendors")[:2]
    for number, mode in enumerate((sync.Mode.INCREMENTAL, sync.Mode.FULL)):
        link = f"https://files.pleo-sandbox.example/logo?X-Sandbox-Signature={number}"
        place.pleo.state.put("vendors", vendor | {"logo": {"href": link, "size": 1}})
        place.pleo.state.put("vendors", broken | {"archived": "perhaps", "createdAt": "never", "logo": link})
        report = place.run("vendors", mode=mode)
        assert "logo" in report.streams["vendors"].drift.unknown_fields
    assert report.streams["vendors"].updated == 0
    assert place.rows(f"SELECT _extra FROM pleo.vendors WHERE id = '{vendor['id']}'") == [('{"logo":{"href":"withheld","size":1}}',)]
    assert [secret for secret in SECRETS if secret in everything(place)] == []


def test_unknown_fields_of_a_subscription_are_reported_by_name_alone(place: Place) -> None:
    record = place.pleo.state.records("subscriptions")[0]
    place.pleo.state.put("subscriptions", record | {"signingSecret": "whsec_1"})
    report = place.run("subscriptions").streams["subscriptions"]
    assert list(report.drift.unknown_fields) == ["signingSecret"]
    assert place.rows("SELECT _extra FROM pleo.subscriptions") == [(None,), (None,)]


def test_a_dropped_field_is_neither_drift_nor_a_change(place: Place) -> None:
    first = place.run("receipts")
    assert not first.streams["receipts"].drift
    for record in place.pleo.state.records("receipts"):
        place.pleo.state.put("receipts", record | {"url": record["url"] + "?signature=new"})
    again = place.run("receipts", mode=sync.Mode.FULL)
    assert again.written == 0


def test_what_belongs_to_the_credential_is_read_once(place: Place) -> None:
    report = place.run("installation", "subscriptions")
    assert [report.streams[name].sweeps for name in ("installation", "subscriptions")] == [1, 1]
    assert place.rows("SELECT status, resource LIKE 'urn:pleo:organisation:%' FROM pleo.installation") == [("ACTIVATED", True)]
    assert place.rows("SELECT event_types FROM pleo.subscriptions ORDER BY created_at") == [
        ('["v1.vendor.created"]',),
        ('["v1.export-job.created","v1.vendor.created"]',),
    ]
    assert place.rows("SELECT count(*) FROM pleo.subscriptions WHERE _deleted_source = 'api_flag'") == [(1,)]
    assert place.run("installation", "subscriptions").written == 0
    place.pleo.state.remove("subscriptions", place.pleo.state.records("subscriptions")[0]["id"])
    assert place.run("subscriptions").streams["subscriptions"].absent == 1
