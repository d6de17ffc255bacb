"""`PleoComponent`: a connection written down in YAML.

    type: pleo_connector.PleoComponent
    attributes:
      name: acme
      environment: production
      client_id: my-client
      client_secret_env: ACME_PLEO_CLIENT_SECRET
      warehouse: duckdb:///acme.duckdb

A secret is named, never written: `<secret>_env` is the name of the environment variable that holds it when a run starts.
`{{ env.X }}` would put the secret itself in its place when definitions load, so it is refused there.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Self

import dagster as dg
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver
from pydantic import BaseModel, Field, PrivateAttr

from pleo_connector.catalogue.options import options_from
from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration.assets import get_asset_key_for_table
from pleo_connector.orchestration.code_folder import code_folder
from pleo_connector.orchestration.connections import build_pleo_connections_definitions
from pleo_connector.orchestration.definitions import build_pleo_definitions
from pleo_connector.orchestration.resources import PleoResource, WarehouseResource, holds_password
from pleo_connector.orchestration.translator import PleoTableData, PleoTranslator
from pleo_connector.settings import load
from pleo_connector.settings_folder import settings_folder

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")

_TEMPLATE = Path(__file__).with_name("component_template.yaml")


class PleoScaffolder(dg.Scaffolder[Any]):
    """Writes a `defs.yaml` whose comments say what there is to choose; as it stands, it loads."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write the file, or add to it."""
        if request.scaffold_format != "yaml":
            dg.scaffold_component(request)
            return
        file = request.target_path / "defs.yaml" if request.target_path.is_dir() else request.target_path
        text = _TEMPLATE.read_text(encoding="utf-8").replace("TYPE", request.type_name).replace("NAME", _plain(request.target_path.name))
        before = f"{file.read_text(encoding='utf-8')}---\n" if request.append else ""
        file.write_text(before + text, encoding="utf-8")


@dg.scaffold_with(PleoScaffolder)
class PleoComponent(dg.Component, dg.Model, dg.Resolvable):
    """Every table of a Pleo connection as an asset, with checks, jobs and schedules."""

    name: str = Field(default="pleo", description="Prefix of the keys, the group and the names of the connection's jobs and resources.")
    environment: str | None = Field(default=None, description="production, staging or sandbox.")
    api_url: str | None = Field(default=None, description="Where the API is; follows from the environment when left out.")
    auth_url: str | None = Field(default=None, description="Where the authorisation server is; follows from the environment too.")
    client_id: str | None = Field(default=None, description="The OAuth client that Pleo registered.")
    client_secret_env: str | None = Field(default=None, description="Name of the environment variable with the client's secret.")
    api_key_env: str | None = Field(default=None, description="Name of the variable with an API key, instead of OAuth.")
    token_store: str | None = Field(default=None, description="Where the tokens are kept, if its URL holds no password.")
    token_store_env: str | None = Field(default=None, description="Name of the variable with the token store's URL.")
    token_keys_env: str | None = Field(default=None, description="Name of the variable with the keys that seal the tokens.")
    connection_label: str | None = Field(default=None, description="Label of this connection, where one client has several.")
    requests_per_minute: int | None = Field(default=None, description="Requests in any 60 seconds; Pleo asks for 500 at most.")
    warehouse: str | None = Field(default=None, description="The warehouse's URL, if it holds no password.")
    warehouse_env: str | None = Field(default=None, description="Name of the variable with the warehouse's URL.")
    schema_name: str | None = Field(default=None, description="The schema that the tables are in.")
    connections: bool = Field(default=False, description="Every labelled connection of the token store, each a partition.")
    streams: list[str] = Field(default=[], description="Streams to read; none means all.")
    options: dict[str, Any] = Field(default={}, description="Choices by stream, with the tables of a pleo.toml: defaults, streams.")
    translation: Annotated[
        TranslationFn[PleoTableData] | None,
        TranslationFnResolver(template_vars_for_translation_fn=lambda data: {"table": data.table, "stream": data.stream}),
    ] = Field(default=None, description="Keys, groups, owners, tags of the assets; may use {{ table.name }} and {{ stream.name }}.")
    blocking_checks: bool = Field(default=False, description="Failed checks are errors and stop what is downstream.")
    step_per_table: bool = Field(default=False, description="One step per stream, for executors that spread steps over machines.")
    marts: bool | None = Field(default=None, description="Whether the views for analysts are assets too; PLEO_MARTS when left out.")
    partitioned: bool = Field(default=False, description="A partition per month for streams that are read by month.")
    running: list[str] = Field(default=[], description="Schedules and sensors that run from the start, such as hourly; the others wait.")
    schedule: str | None = Field(default=None, description="Sync at these times too (cron, UTC), from the start.")

    _root: Path | None = PrivateAttr(default=None)

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The component of a project, whose root its settings and relative paths belong to."""
        loaded = super().load(attributes, context)
        loaded._root = context.project_root  # noqa: SLF001 - of its own class
        return loaded

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - `load` knows its place
        """The connection's definitions; ConfigurationError names the attribute that is wrong."""
        return self._built()

    def asset_key_for_table(self, table: str) -> dg.AssetKey:
        """The key of the asset of a table or mart of this connection; ConfigurationError for one that it does not have."""
        return get_asset_key_for_table(table, self._built())

    def _built(self) -> dg.Definitions:
        if self.connections:
            return self._many()
        built = build_pleo_definitions(
            **self._shared(),
            step_per_table=self.step_per_table,
            marts=self.marts,
            partitioned=self.partitioned,
        )
        return dg.Definitions.merge(built, dg.Definitions(schedules=self._schedules()))

    def _many(self) -> dg.Definitions:
        for attribute in ("connection_label", "api_key_env", "step_per_table", "partitioned", "schedule"):
            if getattr(self, attribute):
                raise ConfigurationError(
                    f"PleoComponent {self.name}: {attribute} does not go with connections: true, where each connection of the token store "
                    "is a partition with runs of its own; leave it out."
                )
        return build_pleo_connections_definitions(**self._shared())

    def _shared(self) -> dict[str, Any]:
        """What one connection and many are built from."""
        return {
            "settings": load(folder=Path(self._folder)),
            "name": self.name,
            "translator": _Translated(self.translation) if self.translation is not None else None,
            "pleo": self._pleo(),
            "warehouse": WarehouseResource(folder=self._folder, warehouse=self._either("warehouse"), schema_name=self.schema_name),
            "streams": self.streams,
            "options": options_from(self.options, "options") if self.options else None,
            "blocking_checks": self.blocking_checks,
            "running": self.running,
            "executor": None,  # a code location has one, and other components may be in it
        }

    @property
    def _folder(self) -> str:
        return str(settings_folder(self._root or code_folder()))

    def _pleo(self) -> PleoResource:
        return PleoResource(
            folder=self._folder,
            environment=self.environment,
            api_url=self.api_url,
            auth_url=self.auth_url,
            client_id=self.client_id,
            client_secret=self._variable("client_secret_env"),
            api_key=self._variable("api_key_env"),
            token_store=self._either("token_store"),
            token_keys=self._variable("token_keys_env"),
            connection_label=self.connection_label,
            requests_per_minute=self.requests_per_minute,
        )

    def _either(self, attribute: str) -> str | None:
        """The attribute as it is written, or the variable of `<attribute>_env`."""
        written = getattr(self, attribute)
        if written is not None and holds_password(written):
            raise ConfigurationError(
                f"PleoComponent {self.name}: {attribute} holds a password, which Dagster would show; "
                f"put the URL into an environment variable and write {attribute}_env: <its name>."
            )
        named = self._variable(f"{attribute}_env")
        if written is not None and named is not None:
            raise ConfigurationError(f"PleoComponent {self.name}: write {attribute} or {attribute}_env, not both.")
        return named if named is not None else written

    def _variable(self, attribute: str) -> dg.EnvVar | None:
        name = getattr(self, attribute)
        if name is None:
            return None
        if not _VARIABLE.fullmatch(name):  # never repeated in the message: it may be the secret
            raise ConfigurationError(
                f"PleoComponent {self.name}: {attribute} must be the name of an environment variable, such as "
                f"PLEO_{attribute.removesuffix('_env').upper()}: neither the secret itself nor {{{{ env.X }}}}, "
                "which puts it in its place; write X."
            )
        return dg.EnvVar(name)

    def _schedules(self) -> list[dg.ScheduleDefinition]:
        """The schedule of the component itself, which runs from the start."""
        if self.schedule is None:
            return []
        return [
            dg.ScheduleDefinition(
                name=f"{self.name}_component",
                job_name=f"{self.name}_sync",
                cron_schedule=self.schedule,
                execution_timezone="UTC",
                default_status=dg.DefaultScheduleStatus.RUNNING,
                description=f"The sync at {self.schedule} (UTC), as the component says.",
            )
        ]


class _Translated(PleoTranslator):
    """The translator of a component's `translation`."""

    def __init__(self, translation: TranslationFn[PleoTableData]) -> None:
        self._translation = translation

    def get_asset_spec(self, data: PleoTableData) -> dg.AssetSpec:
        return self._translation(super().get_asset_spec(data), data)


def _plain(folder: str) -> str:
    """The folder's name as a connection's name."""
    name = re.sub(r"[^a-z0-9_]+", "_", folder.lower()).strip("_")
    return name if re.match(r"[a-z]", name) else f"pleo_{name}" if name else "pleo"
