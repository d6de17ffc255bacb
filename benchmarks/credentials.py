"""The proof of the credentials layer: runs its fault-injection tests at full counts and writes what the sandbox counted.

    python -m benchmarks.credentials --write docs/credentials-proof.md

runs all of them (half an hour on two cores; `--scale 0.1` a tenth of the counts, `--soak 3600` the hour). `--row 4 --row 29`
renews some rows of the page, `--keep results` keeps the results of a run in a folder, and later runs with the same folder add to it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

STORMS = "tests/auth/test_storms.py"
MANY = "tests/auth/test_many_refreshers.py"
POSTGRES = "tests/auth/test_tokens_in_postgresql.py"
REFRESH = "tests/auth/test_refreshing_a_token.py"
ENDPOINT = "tests/auth/test_asking_the_token_endpoint.py"
PRIVATE = "tests/auth/test_keeping_the_store_private.py"
RESTORED = "tests/auth/test_restored_and_copied_stores.py"
LOGIN = "tests/auth/test_logging_in.py"
KEYS = "tests/auth/test_changing_the_sealing_key.py"
CANCEL = "tests/orchestration/test_cancelling_a_run_that_refreshes.py"
FORKS = "tests/auth/test_forks.py"
JUNK = "tests/auth/test_junk_on_a_real_socket.py"
HOSTS = "tests/auth/test_sending_credentials_only_to_pleo.py"
DISKS = "tests/auth/test_disks_that_take_no_tokens.py"
STEPS = "tests/orchestration/test_a_process_for_each_step.py"
CERTIFICATES = "tests/auth/test_refusing_certificates.py"
DUE = "tests/auth/test_tokens_that_fall_due.py"
STOPPED = "tests/auth/test_stopped_owners.py"
WAITING = "tests/auth/test_waiting_for_a_refresh.py"
BACKOFF = "tests/auth/test_backing_off.py"
BLOBS = "tests/auth/test_tokens_that_do_not_open.py"
CLIENT = "tests/auth/test_showing_the_clients_secret.py"


@dataclass(frozen=True)
class Row:
    """One test of the plan: what was asked for, and what shows it. A name without `::` is a whole file."""

    number: int
    what: str
    tests: tuple[str, ...]
    missing: str = ""


ROWS = (
    Row(1, "200 refreshers, 8 processes x 25 threads, lifetime 4 s, 60 s, each store",
        (f"{MANY}::test_eight_processes_of_25_threads_for_a_minute", f"{POSTGRES}::test_eight_processes_of_25_threads_for_a_minute")),
    Row(2, "64 coroutines in one loop, and in 4 loops in 4 threads: tokens that are killed; tokens of 4 s in each store, and of more than the "
        "leeway, that fall due", (f"{STORMS}::test_64_coroutines_in_one_loop_and_in_four", DUE)),
    Row(3, "Dagster's multiprocess executor, 15 steps (one for each stream), lifetime 3 s, 10 runs with spawn and 10 with forkserver",
        (STEPS,)),
    Row(4, "500 SIGKILLs at random per store; 50 forced into the window per store",
        (f"{MANY}::test_500_kills_lose_nothing_unseen", f"{POSTGRES}::test_500_kills_lose_nothing_unseen",
         f"{STORMS}::test_kills_in_the_window_that_no_client_can_close")),
    Row(5, "70 SIGINT and SIGTERM, and 15 runs that Dagster cancels, during a 3 s POST, each store",
        (f"{STORMS}::test_signals_during_a_slow_post_lose_nothing", CANCEL)),
    Row(6, "14 faults x 3 oracles x 20; servers that come to a request when its sender has gone",
        (f"{STORMS}::test_every_fault_again_and_again", "tests/auth/test_slow_servers.py")),
    Row(7, "junk answers", (f"{ENDPOINT}::test_junk_is_sorted_and_never_becomes_a_token",
        f"{ENDPOINT}::test_a_server_that_drips_is_cut_off_at_the_deadline", f"{REFRESH}::test_junk_never_reaches_the_store", JUNK)),
    Row(8, "revoked elsewhere, 8 processes for 30 s, then a restart", (f"{STORMS}::test_a_grant_revoked_elsewhere_is_asked_about_once",)),
    Row(9, "a loser gets invalid_grant while a winner commits", (f"{REFRESH}::test_a_loser_that_is_refused_uses_the_winners_tokens",)),
    Row(10, "invalid_client and other OAuth errors keep the tokens", (f"{REFRESH}::test_a_wrong_client_secret_keeps_the_tokens",
        f"{REFRESH}::test_another_oauth_error_is_a_configuration_error")),
    Row(11, "the store fails after a rotation: a disk that became full takes them; read-only folder, every other owner killed; each 25 times; server restarted; another host gave up", (f"{REFRESH}::test_a_store_that_fails_for_a_while_gets_the_tokens_in_the_end",
        f"{REFRESH}::test_tokens_that_cannot_be_stored_are_spilled_and_adopted_by_the_next_start",
        f"{REFRESH}::test_with_no_place_to_spill_the_process_itself_keeps_them",
        f"{STORMS}::test_the_stores_server_is_restarted_while_tokens_are_under_way", DISKS,
        "tests/auth/test_tokens_kept_beside_a_store.py", "tests/auth/test_a_store_that_goes_away.py")),
    Row(12, "processes with clocks 300 s off and set by an hour, each store; odd `expires_in`", (f"{REFRESH}::test_a_clock_set_back_does_not_keep_a_dead_token",
        f"{REFRESH}::test_an_odd_expires_in_is_taken_for_five_minutes", f"{REFRESH}::test_clocks_that_are_five_minutes_off_fail_no_call",
        f"{REFRESH}::test_a_clock_that_steps_during_a_run_costs_a_refresh_and_no_call",
        f"{STORMS}::test_clocks_that_are_wrong_or_set_fail_no_call", f"{STORMS}::test_hosts_that_share_a_server_go_by_its_clock",
        f"{POSTGRES}::test_another_hosts_wrong_clock_does_not_shorten_the_wait")),
    Row(13, "an access token killed after each of 50 pages; 50 killed while 8 processes read; 401 twice", (
        f"{STORMS}::test_a_token_that_dies_after_each_page_costs_no_row",
        f"{STORMS}::test_a_token_that_dies_costs_one_refresh_for_eight_reading_processes",
        f"{REFRESH}::test_a_token_that_others_replaced_on_its_way_is_no_refusal",
        f"{REFRESH}::test_a_second_401_running_is_an_error_that_says_what_to_do")),
    Row(14, "PostgreSQL: lock backend ended during the POST x 50, server restarted, pooler; each store: owner stopped for 60 s while two "
        "others want new tokens, and (PostgreSQL) its lock backend ended too",
        (f"{POSTGRES}::test_fifty_owners_lose_their_locks", f"{STORMS}::test_the_stores_server_is_restarted_while_tokens_are_under_way",
         f"{POSTGRES}::test_a_pooler_in_transaction_mode_is_refused", STOPPED)),
    Row(15, "login and disconnect during a refresh x 50, each store", (f"{STORMS}::test_logins_and_disconnects_during_a_refresh",)),
    Row(16, "a fork while a thread holds the lock; its child killed; its parent killed, each store",
        (f"{MANY}::test_a_fork_made_during_a_refresh_can_refresh_by_itself", FORKS)),
    Row(17, "POST delayed 15 s, 200 waiters, each store; a wait that ends before", (WAITING,)),
    Row(18, "429 and 503 five times, with Retry-After and without, then good",
        (BACKOFF, f"{REFRESH}::test_backoff_honours_retry_after_and_ends")),
    Row(19, "canaries in logs, tracebacks, files, Dagster's event log and compute logs",
        ("tests/auth/test_leaking_nothing.py", "tests/auth/test_hiding_secrets.py",
         "tests/orchestration/test_keeping_secrets_out_of_dagster.py")),
    Row(20, "permissions; a login into a store that takes none", (PRIVATE, "tests/auth/test_stores_that_take_no_login.py")),
    Row(21, "keys: rotation under load, wrong key, truncated blob, swapped rows", (KEYS, BLOBS, "tests/auth/test_several_connections.py",
        f"{REFRESH}::test_a_wrong_key_changes_nothing_and_is_not_called_disconnected")),
    Row(22, "the listener, and pasting", (LOGIN,)),
    Row(23, "credentials go to Pleo's hosts alone", (HOSTS,)),
    Row(24, "TLS: self-signed, wrong name, expired, unreadable CA bundle", (CERTIFICATES,)),
    Row(25, "an old snapshot restored, a store copied: refused or warned about before any request, no false alarm", (RESTORED,),
        "a snapshot of a whole machine brings its own marks along, and is not noticed"),
    Row(26, "both ways of client authentication, odd secrets, each store", (CLIENT, f"{ENDPOINT}::test_basic_is_form_encoded_before_base64",
        f"{ENDPOINT}::test_post_puts_id_and_secret_into_the_form", f"{REFRESH}::test_post_authentication_works_too")),
    Row(27, "an API key: no store, no lock, no token request",
        (f"{HOSTS}::test_an_api_key_is_the_user_name_without_password_and_needs_no_files",)),
    Row(28, "with httpx2 beside httpx (the whole suite), and without (part of it)",
        (f"{STORMS}::test_with_and_without_httpx2_beside_httpx_all_is_the_same",)),
    Row(29, "soak: lifetime 5 s, 4 processes, faults at 2 %, a kill each 10 s (360 of them: an hour)", (f"{STORMS}::test_soak",)),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What became of one test."""

    passed: bool
    seen: Counter[str]
    scale: float
    """What part of the full count it ran."""
    on: str
    """The day."""
    skipped: str = ""
    """Why it was not run, where it was not; it has then not passed."""


_OWN_COLUMNS = ("refreshes", "reuse", "lost", "reported", "false_alarms")


def main() -> int:
    """Run and write; 1 when a test failed."""
    arguments = _arguments()
    rows = [row for row in ROWS if not arguments.row or row.number in arguments.row]
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(arguments.keep or scratch)
        kept.mkdir(parents=True, exist_ok=True)
        failed = False
        if not arguments.only_table:
            failed = _run(rows, kept, arguments)
        page = Path(arguments.write or os.devnull)
        table = _page(_results(kept), _rows_of(page), {row.number for row in rows})
    if arguments.write:
        page.write_text(table, encoding="utf-8")
    else:
        print(table)
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", metavar="FILE", help="the page, whose other rows stay; else it is printed")
    parser.add_argument("--row", type=int, action="append", help="only this row; may be repeated")
    parser.add_argument("--scale", type=float, default=1.0, help="what part of the full counts is run")
    parser.add_argument("--soak", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", metavar="FOLDER", help="keep the results here, and add to those of earlier runs")
    parser.add_argument("--only-table", action="store_true", help="write the page of what was kept")
    return parser.parse_args()


def _run(rows: list[Row], kept: Path, arguments: argparse.Namespace) -> bool:
    tests = sorted({test for row in rows for test in row.tests})
    environ = os.environ | {"PLEO_PROOF_SCALE": str(arguments.scale), "PLEO_SOAK_SECONDS": str(arguments.soak)}
    result = kept / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        str(arguments.workers),
        "--dist",
        "worksteal",
        "-m",
        "slow or not slow",
        "-o",
        "junit_family=xunit1",
    ]
    return subprocess.run([*command, f"--junitxml={result}", "--timeout=4000", *tests], env=environ, check=False).returncode != 0


def _results(kept: Path) -> dict[str, Result]:
    """By test: whether it passed, and what was seen; the latest run counts."""
    found: dict[str, Result] = {}
    for file in sorted(kept.glob("*.xml")):
        for case in ET.parse(file).iter("testcase"):
            name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
            seen: Counter[str] = Counter()
            scale = 1.0
            for each in case.iter("property"):
                if each.get("name") == "seen":
                    seen.update(json.loads(each.get("value", "{}")))
                if each.get("name") == "scale" and _is_scaled(name):
                    scale = float(each.get("value", "1"))
            skip = case.find("skipped")
            found[name] = Result(
                all(case.find(tag) is None for tag in ("failure", "error", "skipped")),
                seen,
                scale,
                f"{file.stem[:4]}-{file.stem[4:6]}-{file.stem[6:8]}",
                "" if skip is None else skip.get("message") or "it does not say why",
            )
    return found


def _is_scaled(test: str) -> bool:
    return (
        (test.startswith(STORMS) and "test_soak" not in test)
        or test.startswith((CANCEL, DISKS, STEPS, DUE, STOPPED))
        or "test_200_waiters" in test
        or any(name in test for name in ("for_a_minute", "test_500_kills", "test_fifty_owners"))
    )


def _is_of(test: str, name: str) -> bool:
    """Whether a result's name is one of what a row calls `test`: a function with its parameters, or a whole file."""
    plain = name.partition("[")[0]
    return plain == test or plain.startswith(f"{test}::")


def _of(row: Row, results: dict[str, Result]) -> Iterator[Result]:
    for name, result in results.items():
        if any(_is_of(test, name) for test in row.tests):
            yield result


def _rows_of(page: Path) -> dict[int, str]:
    """The lines of an older page, by the row's number."""
    lines = page.read_text(encoding="utf-8").splitlines() if page.is_file() else []
    return {int(found[1]): line for line in lines if (found := re.match(r"\| (\d+) \|", line))}


def _page(results: dict[str, Result], older: dict[int, str], renewed: set[int]) -> str:
    """Rows that are not renewed stay as they are, though a test of theirs may have run for another row."""
    lines = []
    for row in ROWS:
        mine = list(_of(row, results))
        if row.number in older and (not mine or row.number not in renewed):
            lines.append(older[row.number])
            continue
        passed = sum(one.passed for one in mine)
        seen = _together(one.seen for one in mine)
        skips = Counter(one.skipped for one in mine if one.skipped)
        part = [one.scale for one in mine if one.scale < 1 and not one.skipped]
        less = f"**{len(part)} of these {len(mine)} at {min(part):g} of the full count**" if part else ""
        left_out = [f"**{count} skipped: {_cell(why)}**" for why, count in sorted(skips.items())]
        left_out += [
            f"**not run: {test.partition('::')[2] or test}**"
            for test in row.tests
            if mine and not any(_is_of(test, name) for name in results)
        ]
        not_shown = "; ".join(filter(None, [less, *left_out, row.missing]))
        counts = ", ".join(_told(name, count) for name, count in sorted(seen.items()) if name not in _OWN_COLUMNS and count)
        verdict = "not run" if not mine else f"{passed} of {len(mine)} passed" + (f", {skips.total()} skipped" if skips else "")
        numbers = " | ".join(f"{seen[name]:,}" if mine and seen else "" for name in _OWN_COLUMNS)
        on = max((one.on for one in mine), default="")
        lines.append(f"| {row.number} | {row.what} | {verdict} | {on} | {counts} | {numbers} | {not_shown} |")
    return _PAGE.format(python=platform.python_version(), cpus=os.cpu_count(), rows="\n".join(lines))


def _together(counts: Iterable[Counter[str]]) -> Counter[str]:
    """The sums; of milliseconds the most."""
    seen: Counter[str] = Counter()
    for one in counts:
        for name, count in one.items():
            seen[name] = max(seen[name], count) if name.endswith("_ms") else seen[name] + count
    return seen


def _told(name: str, count: int) -> str:
    words = name.replace("_", " ")
    return f"{words.removesuffix(' ms')} {count:,} ms" if words.endswith(" ms") else f"{count:,} {words}"


def _cell(text: str) -> str:
    """A text as one cell of the table."""
    return " ".join(text.split()).replace("|", "\\|")


_PAGE = """# The proof of the credentials layer

Made by `python -m benchmarks.credentials --write docs/credentials-proof.md` with Python {python} on {cpus} cores,
at full counts where the last column does not say otherwise.
The counts are the sandbox's own: it knows which refresh token is the live one, and what was sent twice.

*Reuse*: a refresh token sent a second time (only row 6 may: with no oracle one last retry is sent, and where Pleo had rotated the
grant was lost before). *Lost*: the store no longer holds the live token, which happens in the window that no client can close.
*Reported*: the connector said so. *False alarms*: it said so, and the stored token lived.

| # | test | result | on | seen | refreshes | reuse | lost | reported | false alarms | not shown |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

CI runs all rows, with a tenth of the counts and two minutes of soak (`PLEO_PROOF_SCALE`, `PLEO_SOAK_SECONDS`). `make soak` runs
the hour.
"""


if __name__ == "__main__":
    raise SystemExit(main())
