from __future__ import annotations

import base64
import copy
import io
import json
import logging
import pickle
from dataclasses import dataclass
from urllib.parse import quote_plus

import pytest

from pleo_connector.auth import Redactor, Secret

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


def test_rotated_tokens_fall_out_and_lasting_secrets_do_not() -> None:
    redactor = Redactor()
    redactor.register("the-client-secret")
    for number in range(1000):
        redactor.register(f"token-number-{number}", passing=True)
    assert redactor.scrub("the-client-secret token-number-999 token-number-1") == "*** *** token-number-1"
