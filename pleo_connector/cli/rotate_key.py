"""`pleo-connector rotate-key`: a new key seals the stored tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from pleo_connector.cli.inputs import output_of, settings_in_use
from pleo_connector.cli.output import plural


def rotate_key(
    ctx: typer.Context,
    forget_old: Annotated[
        bool, typer.Option("--forget-old", help="Make no new key: seal all with the present one and delete the old ones.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Seal the stored tokens with a new key.

    Syncs may go on meanwhile. With PLEO_TOKEN_KEYS put the new key first, then run this, then take the old one away.
    """
    output = output_of(ctx, json)
    settings = settings_in_use(output)
    from pleo_connector.auth import rotate_key as rotate  # noqa: PLC0415

    done = rotate(settings, forget_old=forget_old)
    output.answer({"key": done.key_id, "origin": done.origin, "sealed": done.sealed, "left": done.left, "keys_kept": done.keys_kept})
    if output.json:
        return
    output.print(f"{plural(len(done.sealed), 'connection')} sealed with key {done.key_id} of {done.origin}.", style="bold green")
    for name in done.left:
        output.warn(f"{name} does not open with any of these keys and was left as it is.")
    if done.keys_kept > 1:
        output.print(
            "Old keys are kept for processes that still use them; `pleo-connector rotate-key --forget-old` deletes them."
            if done.origin != "PLEO_TOKEN_KEYS"
            else "When every process has the new PLEO_TOKEN_KEYS, take the old keys out of it."
        )
