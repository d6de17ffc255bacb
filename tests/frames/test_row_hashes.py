from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pleo_connector.catalogue import CATALOGUE, Stream
from pleo_connector.frames import Served, normalise
from tests.frames.records import ENTRIES, example, hashes, key, load, raw


def reordered(value: object) -> object:
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(list(value))}
    if isinstance(value, list):
        return [reordered(element) for element in value]
    return value


def full(number: int = 0, **unknown: object) -> dict[str, object]:
    return {**example(ENTRIES, full=True, number=number), **unknown}


@pytest.mark.parametrize("stream", list(CATALOGUE), ids=lambda stream: stream.name)
def test_key_order_and_white_space_do_not_matter(stream: Stream) -> None:
    record = {**example(stream, full=True), "new": {"z": [1, {"b": "é", "a": 1e3}], "a": 2}}
    spaced = json.dumps(reordered(record), indent=3, ensure_ascii=True).encode()
    assert hashes(load(record, stream=stream)) == hashes(load(spaced, stream=stream))


def test_batching_sweep_and_clock_do_not_matter() -> None:
    records = [full(number, new={"n": number, "b": 1}, **({"note": "x"} if number % 2 else {})) for number in range(9)]
    together = hashes(load(*records))
    later = datetime(2027, 1, 1, tzinfo=UTC)
    alone = [normalise(ENTRIES, [Served([raw(record)], None, f"s{n}")], now=later) for n, record in enumerate(records)]
    assert together == [str(batch.frames["accounting_entries"]["_row_hash"].iloc[0]) for batch in alone]
    assert len(set(together)) == 9
    assert all(len(found) == 32 for found in together)


def changes(value: object) -> Iterator[object]:  # noqa: C901 - one arm per JSON type
    """Copies of a JSON value with one leaf changed, one member dropped, or one list turned around."""
    if isinstance(value, dict):
        for name in value:
            if name == "id" and "companyId" in value:
                continue
            yield {other: value[other] for other in value if other != name}
            for changed in changes(value[name]):
                yield {**value, name: changed}
    elif isinstance(value, list):
        if value != value[::-1]:
            yield value[::-1]
        yield value[:-1]
        for position, element in enumerate(value):
            for changed in changes(element):
                yield [*value[:position], changed, *value[position + 1 :]]
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, str):
        yield value[:-2] + ("34" if value[-2:] != "34" else "56") if not value.endswith("Z") else value.replace("2026", "2025")


def test_every_change_flips_the_hash() -> None:
    record = full(new={"deep": [1, {"x": "yy"}]})
    splits = record["splitItems"]
    assert isinstance(splits, list)
    splits[1] = {**copy.deepcopy(splits[1]), "surprise": 5, "accountCode": "other"}
    variants = list(changes(record))
    assert len(variants) > 100
    numbered = [{**variant, "id": key(number)} for number, variant in enumerate(variants) if isinstance(variant, dict)]
    plain = [{**record, "id": key(number)} for number in range(len(numbered))]
    # A hash covers the key, so a variant is held against the unchanged record under the same key.
    changed, unchanged = load(*numbered), load(*plain)
    assert changed.quarantined.empty
    found = [one for one, other in zip(hashes(changed), hashes(unchanged), strict=True) if one != other]
    assert len(found) == len(numbered)
    assert len(set(found)) == len(found)


def test_absent_and_null_are_the_same_row() -> None:
    assert hashes(load({**full(), "foreignExtensionId": None})) == hashes(
        load({k: v for k, v in full().items() if k != "foreignExtensionId"})
    )


def test_an_undeclared_field_that_moves_between_levels_flips_the_hash() -> None:
    assert hashes(load(full(a={"b": 1}))) != hashes(load(full(**{"a.b": 1})))


def test_values_do_not_run_together() -> None:
    texts = [("a\x1fb", "c"), ("a", "b\x1fc"), ("a\\vb", "c"), ("a", "b\\vc"), ("a\x1e", "c"), ("a", "\x1e"), ("a", None), ("a\\", "c")]
    one_key = [load(full(note=note, supplier={"documentNumber": number})) for note, number in texts]
    assert len({found for batch in one_key for found in hashes(batch)}) == len(texts)


def test_an_empty_list_or_object_is_the_same_row_as_none() -> None:
    bare = {name: value for name, value in full().items() if name not in {"tags", "supplier"}}
    served: list[dict[str, object]] = [{}, {"tags": [], "supplier": {}}, {"tags": None, "supplier": None}]
    assert len({str(hashes(load({**bare, **fields}))) for fields in served}) == 1
