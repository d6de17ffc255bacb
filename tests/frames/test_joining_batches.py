"""Pages normalised in pieces and joined are what they are when normalised at once."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from pleo_connector.frames import Batch, Served, batches_joined, normalise
from tests.examples import examples
from tests.frames.records import COMPANY, ENTRIES, NOW, entry, raw

RECEIPTS = ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]

RECORDS = st.builds(
    lambda number, many, odd: entry(number, receiptIds=RECEIPTS[:many], **odd),
    st.integers(0, 5),
    st.integers(0, 2),
    st.sampled_from([{}, {"performedAt": "yesterday"}, {"newField": 1}, {"transactionValue": {"currency": "QQQ", "minors": 1}}]),
)


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.lists(RECORDS, max_size=4), min_size=1, max_size=6), st.data())
def test_in_pieces_or_at_once(pages: list[list[dict[str, object]]], data: st.DataObject) -> None:
    served = [Served([raw(record) for record in page], COMPANY, f"sweep-{number}") for number, page in enumerate(pages)]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(served)), max_size=3)) - {len(served)})
    pieces = [served[start:end] for start, end in zip([0, *cuts], [*cuts, len(served)], strict=True)]
    earlier = [NOW - timedelta(seconds=number) for number in range(len(pieces))]

    whole = normalise(ENTRIES, served, now=NOW)
    joined = batches_joined([normalise(ENTRIES, piece, now=at) for piece, at in zip(pieces, earlier, strict=True)], NOW)

    assert (joined.served, joined.duplicates) == (whole.served, whole.duplicates)
    assert _counts(joined) == _counts(whole)
    assert list(joined.frames) == list(whole.frames)
    for name, frame in whole.frames.items():
        pd.testing.assert_frame_equal(joined.frames[name], frame)
    pd.testing.assert_frame_equal(joined.quarantined, whole.quarantined)


def _counts(batch: Batch) -> dict[str, dict[str, object]]:
    return {kind: {path: finding["count"] for path, finding in found.items()} for kind, found in batch.drift.as_json().items()}
