"""Windows cover all of time without gaps, and age decides how often each is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pleo_connector.api import OPEN_END, Interval
from pleo_connector.stream_options import SweepPolicy
from pleo_connector.sync import windows
from pleo_connector.sync.windows import BEGINNING, Why

moments = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@given(earliest=st.none() | moments, now=moments)
def test_windows_cover_everything_once(earliest: datetime | None, now: datetime) -> None:
    spans = windows.windows(earliest, now)
    assert spans[0].start == BEGINNING
    assert spans[-1].end > now + timedelta(days=365)
    for one, following in pairwise(spans):
        assert one.end == following.start
    assert all(span.start < span.end for span in spans)
    if earliest is not None and earliest <= now:
        assert spans[0].end <= earliest


@given(earliest=moments, now=moments, start=st.none() | moments, end=st.none() | moments)
def test_a_range_is_covered_exactly(earliest: datetime, now: datetime, start: datetime | None, end: datetime | None) -> None:
    spans = windows.windows(earliest, now)
    parts = windows.clipped(spans, start, end)
    low, high = start or BEGINNING, end or spans[-1].end
    if low >= min(high, spans[-1].end):
        assert parts == ()
        return
    assert parts[0].start == max(low, BEGINNING)
    assert parts[-1].end == min(high, spans[-1].end)
    for one, following in pairwise(parts):
        assert one.end == following.start


@given(earliest=moments, now=moments)
def test_everything_is_due_at_first(earliest: datetime, now: datetime) -> None:
    spans = windows.windows(earliest, now)
    due = tuple(windows.due(spans, {}, now, SweepPolicy()))
    assert tuple(one.span for one in due) == spans
    assert {(one.tier, one.why, one.last) for one in due} == {(windows.FIRST, Why.NEVER_READ, None)}


def test_after_a_sweep_only_the_hot_windows_are_due() -> None:
    spans = windows.windows(datetime(2025, 1, 5, tzinfo=UTC), NOW)
    swept = dict.fromkeys(spans, NOW - timedelta(minutes=5))
    hot = list(windows.due(spans, swept, NOW, SweepPolicy()))
    assert {(one.tier, one.why) for one in hot} == {("hot", Why.EVERY_RUN)}
    assert [one.span.start for one in hot] == [datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)]


def test_each_tier_comes_due_in_its_time() -> None:
    policy = SweepPolicy()
    spans = windows.windows(datetime(2025, 1, 5, tzinfo=UTC), NOW)
    for span in spans:
        tier, every = policy.tier(span.end, NOW)
        if tier == "hot":
            continue
        before = dict.fromkeys(spans, NOW - every + timedelta(hours=2))
        after = dict.fromkeys(spans, NOW - every)
        assert span not in {one.span for one in windows.due(spans, before, NOW, policy)}, tier
        assert windows.status_of(span, after, NOW, policy) in set(windows.due(spans, after, NOW, policy)), tier


def test_tiers_follow_the_age_of_the_windows_end() -> None:
    policy = SweepPolicy()

    def tier(days: int) -> str:
        end = NOW - timedelta(days=days)
        return policy.tier(end, NOW)[0]

    assert [tier(days) for days in (-5, 35, 36, 100, 101, 400, 401)] == ["hot", "hot", "warm", "warm", "cool", "cool", "cold"]


def test_the_month_that_was_current_counts_as_swept_when_the_next_begins() -> None:
    march = datetime(2026, 3, 31, 23, tzinfo=UTC)
    april = datetime(2026, 4, 1, 1, tzinfo=UTC)
    swept = dict.fromkeys(windows.windows(datetime(2026, 1, 1, tzinfo=UTC), march), march)
    later = windows.windows(datetime(2026, 1, 1, tzinfo=UTC), april + timedelta(days=60))
    due = {
        one.span.start.month for one in windows.due(later, swept, april + timedelta(days=60), SweepPolicy()) if one.span.start.year == 2026
    }
    # March was swept to "now" only, on its last evening: it is due again, like all that ended since.
    assert {3, 4, 5} <= due


def test_a_partial_sweep_does_not_make_its_month_swept() -> None:
    spans = windows.windows(datetime(2025, 1, 5, tzinfo=UTC), NOW)
    may = next(span for span in spans if span.start == datetime(2025, 5, 1, tzinfo=UTC))
    swept = dict.fromkeys(spans, NOW) | {Interval(may.start, may.start + timedelta(days=3)): NOW}
    del swept[may]
    assert may in {one.span for one in windows.due(spans, swept, NOW, SweepPolicy())}


def test_an_open_entry_keeps_its_month_hot_up_to_an_age() -> None:
    spans = windows.windows(datetime(2025, 1, 5, tzinfo=UTC), NOW)
    swept = dict.fromkeys(spans, NOW - timedelta(minutes=5))
    september, june = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)

    def opened(policy: SweepPolicy) -> list[datetime]:
        found = windows.due(spans, swept, NOW, policy, {september, june})
        return [one.span.start for one in found if (one.tier, one.why) == ("hot", Why.OPEN_ENTRIES)]

    assert opened(SweepPolicy()) == [september], "June ended more than 100 days ago"
    assert opened(SweepPolicy(open_days=200)) == [june, september]
    assert opened(SweepPolicy(open_days=0)) == []


@given(spans=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=8), day=st.integers(-1, 30))
def test_joined_spans_hold_the_same_moments_without_touching_each_other(spans: list[tuple[int, int]], day: int) -> None:
    given_spans = [Interval(NOW + timedelta(days=start), NOW + timedelta(days=start + length)) for start, length in spans]
    joined = windows.joined(given_spans)
    moment = NOW + timedelta(days=day)
    assert any(moment in span for span in joined) == any(moment in span for span in given_spans)
    assert all(one.end < following.start for one, following in pairwise(joined))


def test_a_span_that_was_cut_in_words() -> None:
    def words(start: datetime, end: datetime) -> str:
        return windows.describe([Interval(start, end)])

    day, month = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    assert words(day, month) == "2026-01-15 to 2026-02"
    assert words(day, day + timedelta(days=1)) == "2026-01-15"
    assert words(day, day + timedelta(days=3)) == "2026-01-15 to 2026-01-17"
    assert words(day, day + timedelta(hours=30)) == "2026-01-15 to 2026-01-16T06:00"
    assert words(day + timedelta(hours=30), OPEN_END) == "2026-01-16T06:00 on"
    assert words(BEGINNING, day) == "before 2026-01-15"
    assert words(datetime(900, 1, 1, tzinfo=UTC), datetime(901, 1, 1, tzinfo=UTC)) == "0900-01 to 0900-12"
    assert words(BEGINNING, OPEN_END) == "all"
