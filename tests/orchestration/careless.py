"""A code location whose steps are as careless with secrets as code can be; run as a program, in a process of its own.

    python -m tests.orchestration.careless in_process|multiprocess

`DAGSTER_HOME` says where Dagster writes; `CARELESS_API_KEY` is the key of a second connection.
"""

import base64
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote_plus

import dagster as dg
import httpx

from pleo_connector import auth
from pleo_connector.orchestration import PleoResource

INNOCENT = "innocent words about tokens, secrets and keys"


def secrets_of(pleo: PleoResource, keyed: PleoResource) -> list[str]:
    """Every secret that a step can get at: access and refresh token, client secret, sealing key, API key."""
    settings = pleo.settings()
    tokens = auth.build_manager(settings).tokens()
    keys = [file.read_text().strip() for file in Path(settings.token_store).parent.glob("*.key")]
    given = [settings.client_secret.get_secret_value(), keyed.settings().api_key.get_secret_value()]
    return [tokens.access.reveal(), tokens.refresh.reveal(), *keys, *given]


def forms_of(secret: str) -> list[str]:
    """The forms in which it travels."""
    return [secret, quote_plus(secret), base64.b64encode(secret.encode()).decode(), base64.urlsafe_b64encode(secret.encode()).decode()]


class Stubborn(Exception):
    """An error whose text cannot be reached from outside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._say: Callable[[], str] = lambda: text

    def __str__(self) -> str:
        return self._say()


@dg.op
def talk(context: dg.OpExecutionContext, pleo: PleoResource, keyed: PleoResource) -> None:
    logging.basicConfig(level=logging.DEBUG)  # httpx and httpcore tell all that they do
    late = logging.getLogger("made.in.the.step")
    late.addHandler(logging.StreamHandler(sys.stderr))
    late.handlers[0].setFormatter(logging.Formatter("%(message)s %(field)s"))
    context.log.info(INNOCENT)
    print("printed", INNOCENT)  # noqa: T201
    secrets = secrets_of(pleo, keyed)
    for secret in secrets:
        for form in forms_of(secret):
            context.log.info(form)
            context.log.warning("%s", form)
            context.log.debug({"a dictionary": form})
            late.warning("late %s", form, extra={"field": [{"token": form}]})
            logging.getLogger("x").warning(form)
            print("printed", form)  # noqa: T201
            print(form[:9], end="", flush=True)  # noqa: T201
            print(form[9:])  # noqa: T201
            sys.stderr.write(form[:20])
            sys.stderr.write(form[20:] + "\n")
            warnings.warn(form, stacklevel=1)
        context.log_event(dg.AssetObservation("careless", metadata={"secret": secret, "deep": dg.MetadataValue.json({"a": [secret]})}))
        try:
            raise ValueError(secret)  # noqa: TRY301
        except ValueError:
            context.log.exception("with a trace")
            logging.getLogger("x").exception("with a trace")
    with httpx.Client(trust_env=False) as client:
        client.get(f"{pleo.settings().api_url}/v1/introspect", headers={"Authorization": f"Bearer {secrets[0]}", "X-Refresh": secrets[1]})
        client.get(f"{pleo.settings().api_url}/v1/introspect", params={"refresh_token": secrets[1]})


@dg.op
def fail(pleo: PleoResource, keyed: PleoResource) -> None:
    secrets = " ".join(secrets_of(pleo, keyed))
    try:
        raise KeyError(secrets)  # noqa: TRY301
    except KeyError as error:
        error.add_note(secrets)
        raise ValueError(f"failed with {secrets}") from error


@dg.op
def fail_stubbornly(pleo: PleoResource, keyed: PleoResource) -> None:
    raise Stubborn(" ".join(secrets_of(pleo, keyed)))


@dg.op
def fail_on_purpose(pleo: PleoResource, keyed: PleoResource) -> None:
    secrets = " ".join(secrets_of(pleo, keyed))
    raise dg.Failure(f"failed on purpose with {secrets}", metadata={"secrets": secrets})


@dg.op(retry_policy=dg.RetryPolicy(max_retries=1))
def fail_twice(pleo: PleoResource, keyed: PleoResource) -> None:
    raise RuntimeError(*secrets_of(pleo, keyed))


@dg.op(out=dg.DynamicOut(int))
def tell_with_the_output(pleo: PleoResource, keyed: PleoResource) -> Iterator[dg.DynamicOutput[int]]:
    yield dg.DynamicOutput(1, mapping_key="one", metadata={"secrets": " ".join(secrets_of(pleo, keyed))})


@dg.failure_hook
def tell_of_the_failure(context: dg.HookContext) -> None:
    context.log.error("a hook was told: %s", context.op_exception)
    Path(os.environ["DAGSTER_HOME"], f"told-{context.op.name}").write_text(repr(context.op_exception))


RESOURCES = {"pleo": PleoResource(), "keyed": PleoResource(api_key=dg.EnvVar("CARELESS_API_KEY"))}


@dg.job(resource_defs=RESOURCES, hooks={tell_of_the_failure}, executor_def=dg.multi_or_in_process_executor)
def careless_job() -> None:
    talk()
    fail()
    fail_stubbornly()
    fail_on_purpose()
    fail_twice()
    tell_with_the_output()


def main(executor: str) -> None:
    """Run the job; it fails, as it should."""
    loaded = {"forkserver": {"preload_modules": ["tests.orchestration.careless"]}}  # a process for each step, without its imports
    how: dict[str, object] = {} if executor == "in_process" else {"max_concurrent": 2, "start_method": loaded}
    with dg.DagsterInstance.get() as instance:
        dg.execute_job(
            dg.reconstructable(careless_job),
            instance,
            run_config={"execution": {"config": {executor: how}}},
            raise_on_error=False,
        )


if __name__ == "__main__":
    from tests.orchestration import careless  # the job must be found by name, not in __main__

    careless.main(sys.argv[1])
