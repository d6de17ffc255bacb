from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from pleo_connector.auth import Redactor
from pleo_connector.auth.scrubbed_output import ScrubbedOutput
from pleo_connector.auth.scrubbed_process import ScrubbedProcess

VALUE = "s3cret-token/value+of=this.test"


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.register(VALUE)
    return redactor


@pytest.fixture
def behind() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def output(redactor: Redactor, behind: io.StringIO) -> ScrubbedOutput:
    return ScrubbedOutput(behind, redactor)


@pytest.fixture
def process(redactor: Redactor) -> Iterator[ScrubbedProcess]:
    process = ScrubbedProcess(redactor)
    yield process
    process.end()


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("at", range(1, len(VALUE)))
def test_a_secret_in_two_writes_is_found(output: ScrubbedOutput, behind: io.StringIO, at: int, *, flushed: bool) -> None:
    output.write("before " + VALUE[:at])
    if flushed:
        output.flush()
    output.write(VALUE[at:] + " after\n")
    if flushed and at < 6:  # so little of a secret is let go by a flush, because it may be any word
        assert behind.getvalue() == f"before {VALUE} after\n"
    else:
        assert behind.getvalue() == "before *** after\n"


def test_a_secret_written_letter_by_letter_is_found(output: ScrubbedOutput, behind: io.StringIO) -> None:
    output.writelines(f"a {VALUE}, and {VALUE}{VALUE}\n")
    assert behind.getvalue() == "a ***, and ******\n"


def test_whole_lines_and_what_is_flushed_are_there_at_once(output: ScrubbedOutput, behind: io.StringIO) -> None:
    assert output.write("a line\n") == len("a line\n")
    assert behind.getvalue() == "a line\n"
    output.write("50 %\r51 % done")
    output.flush()
    assert behind.getvalue() == "a line\n50 %\r51 % done"
    output.write("yes or no? ")
    assert behind.getvalue().endswith("yes or no? "), "a prompt that ends with a space is not held back"


def test_what_begins_like_a_secret_and_is_none_comes_out_whole(output: ScrubbedOutput, behind: io.StringIO) -> None:
    output.write(VALUE[:10])
    output.flush()
    assert behind.getvalue() == ""
    output.write(" was only a beginning\n")
    assert behind.getvalue() == f"{VALUE[:10]} was only a beginning\n"
    output.write(VALUE[:12])
    output.end()
    assert behind.getvalue().endswith(f"\n{VALUE[:12]}"), "nothing is lost at the end"


def test_everything_else_is_asked_of_the_stream_itself(redactor: Redactor) -> None:
    with open(os.devnull, "w", encoding="latin-1") as stream:  # noqa: PTH123
        output = ScrubbedOutput(stream, redactor)
        assert (output.fileno(), output.encoding, output.buffer, output.isatty()) == (stream.fileno(), "latin-1", stream.buffer, False)
        with pytest.raises(TypeError):
            output.write(b"bytes")  # type: ignore[arg-type]


def test_many_threads_print_whole_lines(output: ScrubbedOutput, behind: io.StringIO) -> None:
    def work() -> None:
        for _ in range(200):
            output.write(f"{VALUE} and an innocent line\n")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert behind.getvalue() == "*** and an innocent line\n" * 1600


def test_loggers_handlers_and_formatters_made_later_are_covered_too(process: ScrubbedProcess, behind: io.StringIO) -> None:
    before = logging.Logger.handle
    process.begin()
    process.begin()
    for logger in (logging.getLogger("made.later"), logging.Logger("of nobody")):  # noqa: LOG001
        handler = logging.StreamHandler(behind)
        handler.setFormatter(logging.Formatter("%(message)s %(field)s"))
        logger.addHandler(handler)
        logger.error("innocent %s", VALUE, extra={"field": {"token": VALUE}})
        logger.removeHandler(handler)
    process.end()
    assert behind.getvalue() == "innocent *** {'token': '***'}\n" * 2
    assert logging.Logger.handle is before


def test_at_the_end_everything_is_as_it_was(process: ScrubbedProcess, capsys: pytest.CaptureFixture[str]) -> None:
    before = (sys.stdout, sys.stderr, logging.Logger.handle)
    process.begin()
    ours = sys.stdout
    print(f"with {VALUE}")  # noqa: T201
    print(VALUE, file=sys.stderr)  # noqa: T201
    process.end()
    process.end()
    assert (sys.stdout, sys.stderr, logging.Logger.handle) == before
    print(f"after {VALUE}")  # noqa: T201
    print(f"by who kept it {VALUE}", file=ours)
    assert capsys.readouterr() == (f"with ***\nafter {VALUE}\nby who kept it {VALUE}\n", "***\n")


def test_what_somebody_else_put_there_meanwhile_stays(process: ScrubbedProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    process.begin()
    ours = logging.Logger.handle

    def theirs(logger: logging.Logger, record: logging.LogRecord) -> None:
        seen.append(record.name)
        ours(logger, record)

    monkeypatch.setattr(logging.Logger, "handle", theirs)
    with contextlib.redirect_stdout(io.StringIO()) as replaced:
        process.end()
        assert sys.stdout is replaced
    assert logging.Logger.handle is theirs
    record = logging.LogRecord("later", logging.INFO, "", 0, VALUE, (), None)
    logging.getLogger("later").handle(record)
    assert (seen, record.msg) == (["later"], VALUE), "ours passes on what comes, and does nothing"


@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_child_of_a_fork_prints(process: ScrubbedProcess) -> None:
    process.begin()
    assert isinstance(sys.stdout, ScrubbedOutput)
    locked, go = threading.Event(), threading.Event()

    def hold() -> None:
        with sys.stdout._guard:  # type: ignore[union-attr]
            locked.set()
            go.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait(10)
    child = os.fork()
    if child == 0:
        sys.stdout.write("from the child\n")
        os._exit(7)
    go.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
