"""How the command ends: every error becomes one sentence on stderr and an exit code.

0 fine, 1 failed, 2 usage or configuration, 3 a person must connect again.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

import typer

from pleo_connector.cli.app import Stopped, app
from pleo_connector.cli.output import Output
from pleo_connector.errors import PleoError, SyncFailed

FINE, FAILED, USAGE = 0, 1, 2

# Newer typers carry their own copy of click, older ones import click: this finds the class in both.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]


def run(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Run one command line and return its exit code; prints, never raises.

    `environ` holds the settings; None means this process's environment and `.env`.
    """
    debug = "--debug" in argv or (os.environ if environ is None else environ).get("PLEO_DEBUG", "").strip().lower() not in (
        "",
        "0",
        "false",
        "no",
    )
    arguments = [argument for argument in argv if argument != "--debug"] or ["--help"]
    output = Output(json="--json" in arguments, environ=environ)
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    try:
        with _sigterm_as_ctrl_c():
            exit_code, error = _outcome(arguments, output, debug=debug)
        output.close(exit_code, error)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has gone, as `head` does; Python would complain about it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return exit_code


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """A service manager's SIGTERM ends a verb like Ctrl-C does: what it started is ended too, and what is half done is undone."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):  # asyncio's own while a sync runs, so that its tasks end in order
            handler(number, frame)
        else:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _outcome(arguments: Sequence[str], output: Output, *, debug: bool) -> tuple[int, str | None]:
    """(exit code, the sentence of what went wrong, already printed, or None)."""
    try:
        result = app(list(arguments), prog_name="pleo-connector", standalone_mode=False, obj=output)
    except Stopped as stopped:
        output.error(str(stopped))
        return FAILED, str(stopped)
    except PleoError as error:
        _show(error, output, debug=debug)
        return error.exit_code, str(error)
    except BrokenPipeError:
        raise
    except typer.Abort:
        output.error("Stopped: nothing was done.")
        return FAILED, "Stopped: nothing was done."
    except _USAGE_ERROR as error:
        sentence = f"{_sentence_of(error)} `pleo-connector --help` lists the commands, and `--help` after one its options."
        output.error(sentence)
        return USAGE, sentence
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets a sentence, not a traceback
        sentence = (
            f"This is a bug in pleo-connector ({type(error).__name__}: {' '.join(str(error).split())[:300]}); "
            "run it again with --debug or PLEO_DEBUG=1 to see where it happened, and report that."
        )
        output.error(sentence)
        if debug:
            _show_traceback(error, output)
        return FAILED, sentence
    return (result if isinstance(result, int) else FINE), None


def _show(error: PleoError, output: Output, *, debug: bool) -> None:
    if isinstance(error, SyncFailed) and error.failures:
        for stream, failure in error.failures.items():
            output.error(f"{stream}: {failure}")
    else:
        output.error(str(error))
    if debug:
        _show_traceback(error, output)


def _show_traceback(error: Exception, output: Output) -> None:
    sys.stderr.write(output.scrub("".join(traceback.format_exception(error))))


def _sentence_of(error: Exception) -> str:
    told: str = error.format_message() if hasattr(error, "format_message") else str(error)
    return told if told.endswith((".", "!", "?")) else f"{told}."
