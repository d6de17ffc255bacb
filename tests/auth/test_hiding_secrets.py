from __future__ import annotations

import base64
import copy
import io
import json
import logging
import pickle
import timeit
import traceback
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import pytest
from cryptography.fernet import Fernet

from pleo_connector.auth import REDACTOR, Redactor, Secret, know_secrets_of
from pleo_connector.auth.keys import Binding, KeyRing
from pleo_connector.auth.secret import HIDDEN
from pleo_connector.auth.token import TokenSet
from pleo_connector.settings import load

VALUE = "s3cr+t/va=lue with space"


@dataclass
class Holder:
    token: Secret


def test_no_way_of_printing_shows_it() -> None:
    secret = Secret(VALUE)
    seen = [repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", "%s" % secret, repr(Holder(secret)), repr({"a": secret})]  # noqa: UP031
    seen += [json.dumps({"a": secret}, default=str), pickle.dumps(secret).decode("latin-1"), str(vars(Holder(secret)))]
    assert not any(VALUE in text for text in seen)
    assert all("***" in text for text in seen)
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_it_cannot_be_changed_and_compares_by_value() -> None:
    secret = Secret(VALUE)
    with pytest.raises(AttributeError):
        secret.other = "x"
    assert secret == Secret(VALUE) and secret != Secret("other") and hash(secret) == hash(Secret(VALUE))
    assert copy.deepcopy(secret) == secret
    assert not Secret("") and secret


def test_pickling_loses_it() -> None:
    assert pickle.loads(pickle.dumps(Secret(VALUE))).reveal() == "***"


def capture(redactor: Redactor) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    logger = logging.Logger("careless", logging.DEBUG)  # noqa: LOG001 - of this test alone
    logger.addHandler(logging.StreamHandler(stream))
    redactor.install(logger)
    return logger, stream


def test_the_redactor_finds_all_wire_forms() -> None:
    redactor = Redactor()
    redactor.register(Secret(VALUE))
    redactor.register_basic("id+1", Secret(VALUE))
    forms = [VALUE, quote_plus(VALUE), base64.b64encode(f"id+1:{VALUE}".encode()).decode()]
    forms.append(base64.b64encode(f"{quote_plus('id+1')}:{quote_plus(VALUE)}".encode()).decode())
    for form in forms:
        assert redactor.scrub(f"before {form} after") == "before *** after"


def test_careless_logging_is_scrubbed_in_message_arguments_and_traceback() -> None:
    redactor = Redactor()
    redactor.register(Secret(VALUE))
    logger, stream = capture(redactor)
    logger.debug("token %s", VALUE)
    logger.debug("token " + VALUE)  # noqa: G003
    logger.debug("wrong format %d", VALUE)
    try:
        raise ValueError(f"failed with {VALUE}")  # noqa: TRY301
    except ValueError:
        logger.exception("oh no")
    assert VALUE not in stream.getvalue()
    assert stream.getvalue().count("***") >= 4


def test_what_logging_survives_its_filter_survives(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    logger = logging.getLogger("careless")
    redactor = Redactor()
    logger.addFilter(redactor)
    try:
        logger.warning("%(a)s", {"b": 1})
        logger.warning("%s", Broken())
        logger.warning(Broken())
    finally:
        logger.removeFilter(redactor)
    missing, argument, message = (record.getMessage() for record in caplog.records)
    assert missing == "%(a)s {'b': 1}"
    assert argument.startswith("%s (<") and "Broken" in argument
    assert message == "A message that cannot be shown (RuntimeError)."


def test_innocent_text_and_short_values_stay() -> None:
    redactor = Redactor()
    redactor.register(Secret("abc"), None, "")
    assert redactor.scrub("abc of tokens") == "abc of tokens"


class Record(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def logged(redactor: Redactor, *arguments: Any, **extra: Any) -> logging.LogRecord:
    """What a handler is given for a warning with these arguments and fields."""
    handler = Record()
    logger = logging.Logger("careless", logging.DEBUG)  # noqa: LOG001
    logger.addHandler(handler)
    redactor.install(logger)
    logger.warning(*arguments, **extra)
    (record,) = handler.records
    return record


def test_extra_fields_are_scrubbed_and_the_callers_objects_stay_as_they_are() -> None:
    redactor = Redactor()
    redactor.register(Secret(VALUE))
    error = ValueError(VALUE, {"again": VALUE})
    nested = {"list": [1, VALUE, ("tuple", VALUE)], VALUE: {VALUE}, "bytes": VALUE.encode(), "error": error, "innocent": [1, "two"]}
    before = copy.deepcopy({name: value for name, value in nested.items() if name != "error"})
    record = logged(redactor, "an innocent message", extra={"token": VALUE, "nested": nested})
    assert vars(record)["token"] == "***"
    assert VALUE not in json.dumps(vars(record), default=repr)
    assert vars(record)["nested"]["innocent"] is nested["innocent"]
    assert record.getMessage() == "an innocent message"
    assert {name: value for name, value in nested.items() if name != "error"} == before
    assert nested["error"] is error and error.args == (VALUE, {"again": VALUE})


def test_innocent_fields_are_the_very_objects_that_were_given() -> None:
    redactor = Redactor()
    redactor.register(Secret(VALUE))
    fields = {"rows": 3, "names": ["a", "b"], "deep": {"er": ({"x": 1},)}, "error": ValueError("innocent")}
    record = logged(redactor, "innocent %s", "too", extra=fields)
    assert all(vars(record)[name] is value for name, value in fields.items())
    assert record.args == ("too",)


def test_a_field_that_holds_itself_is_shown_as_text() -> None:
    redactor = Redactor()
    redactor.register(Secret(VALUE))
    loop: list[Any] = [VALUE]
    loop.append(loop)
    assert VALUE not in repr(vars(logged(redactor, "x", extra={"loop": loop})))


def test_arguments_that_the_message_does_not_show_are_scrubbed() -> None:
    redactor = Redactor()
    redactor.register(Secret(VALUE))
    given = {"token": VALUE}
    record = logged(redactor, "nothing of %(a)s", {"a": 1, **given})
    assert record.getMessage() == "nothing of 1" and VALUE not in repr(record.args)
    assert given == {"token": VALUE}


def test_a_formatter_that_makes_its_own_text_of_the_error_gets_one_without_it() -> None:
    redactor = Redactor()
    redactor.register(Secret(VALUE))
    try:
        try:
            raise KeyError(VALUE)  # noqa: TRY301
        except KeyError as cause:
            raise RuntimeError("innocent") from cause
    except RuntimeError as raised:
        error = raised
        record = logged(redactor, "oh no", exc_info=True)
    assert record.exc_info and record.exc_info[1]
    told = "".join(traceback.format_exception(record.exc_info[1]))
    assert VALUE not in told and "KeyError" in told and "RuntimeError: innocent" in told
    assert "".join(traceback.format_exception(error)).count(VALUE) == 1, "the raised error is as it was"


def test_rotated_tokens_fall_out_and_lasting_secrets_do_not() -> None:
    redactor = Redactor()
    redactor.register("the-client-secret")
    for number in range(1000):
        redactor.register(f"token-number-{number}", passing=True)
    assert redactor.scrub("the-client-secret token-number-999 token-number-1") == "*** *** token-number-1"


def test_the_tokens_of_500_connections_stay_known_while_each_rotates_and_the_dead_ones_fall_out() -> None:
    redactor = Redactor()

    def pair(connection: int, generation: int) -> str:
        return f"access-{connection}-{generation}/ refresh-{connection}-{generation}/"

    for generation in range(12):
        for connection in range(500):
            redactor.register(*pair(connection, generation).split(), passing=True, of=f"production/me/{connection}")
    for number in range(1000):
        redactor.register(f"the-code-of-a-login-{number}", passing=True)
    for connection in range(500):
        assert redactor.scrub(pair(connection, 11)) == redactor.scrub(pair(connection, 4)) == "*** ***"
        assert redactor.scrub(pair(connection, 3)) == pair(connection, 3)
    for _ in range(50):
        redactor.register(*pair(0, 11).split(), passing=True, of="production/me/0")
    assert redactor.scrub(pair(0, 4)) == "*** ***", "the same again pushes nothing out"


def test_the_tokens_of_500_open_connections_are_known() -> None:
    ring = KeyRing([Secret(Fernet.generate_key().decode())], "a test")
    bindings = [Binding(f"production/me/{number}", "https://auth.example", "me") for number in range(500)]
    now = 1_800_000_000.0
    sealed = [
        ring.seal(TokenSet(Secret(f"an-access-token-{number}."), Secret(f"a-refresh-token-{number}."), now, 900), binding)
        for number, binding in enumerate(bindings)
    ]
    opened = [ring.open(blob, binding) for blob, binding in zip(sealed, bindings, strict=True)]
    text = " ".join(f"{tokens.access.reveal()} {tokens.refresh.reveal()}" for tokens in opened)
    assert REDACTOR.scrub(text) == " ".join(["***"] * 1000)


def test_scrubbing_takes_no_longer_with_many_secrets() -> None:
    text = "2026-11-28 12:00:00 page 17, 300 rows of accounting_entries in 0.42 s\n" * 20

    def seconds(connections: int) -> float:
        redactor = Redactor()
        for number in range(connections):
            redactor.register(*(f"{number}-{other}-" + "x" * 60 for other in range(16)), passing=True, of=str(number))
        return min(timeit.repeat(lambda: redactor.scrub(text), number=20, repeat=5))

    assert seconds(500) < 20 * seconds(1), "it was 1,000 times as long when every form was looked for"


def test_overlapping_secrets_leave_nothing_of_either() -> None:
    redactor = Redactor()
    redactor.register("secret-abcdef", "abcdef-ghijkl")
    assert redactor.scrub("a secret-abcdef-ghijkl b") == "a *** b"
    assert redactor.scrub("secret-abcdefabcdef-ghijkl") == "******"


def test_the_password_of_a_proxy_is_known_before_anything_is_sent() -> None:
    know_secrets_of(load({"PLEO_PROXY": "http://user:hunter%2Bsecret@proxy.example.com:3128"}, None))
    assert REDACTOR.scrub("hunter%2Bsecret hunter+secret proxy.example.com") == f"{HIDDEN} {HIDDEN} proxy.example.com"
