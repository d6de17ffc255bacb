"""Everything one sandbox knows, behind one lock: what tests change, and handlers read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pleo_connector.catalogue import Catalogue, Stream
from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox.clients import Client
from pleo_connector.sandbox.config import SandboxConfig
from pleo_connector.sandbox.counters import Counters
from pleo_connector.sandbox.cursors import Cursors
from pleo_connector.sandbox.exports import Exports
from pleo_connector.sandbox.faults import Fault, FaultPlan
from pleo_connector.sandbox.generated import GeneratedEntries
from pleo_connector.sandbox.listing import Lister
from pleo_connector.sandbox.oauth_rules import Lifetimes, OAuthRules
from pleo_connector.sandbox.query import WindowBounds
from pleo_connector.sandbox.rate_limit import RateLimit
from pleo_connector.sandbox.samples import Record, read_samples, sample_folder
from pleo_connector.sandbox.store import Store

ORGANISATION_URN = "urn:pleo:organisation:"
COMPANY_URN = "urn:pleo:company:"
TRIAL_SCOPE = "test:test"
CLIENT_NAME = "Pleo connector (sandbox)"


class SandboxState:
    """The sandbox's memory. Public methods may be called from any thread."""

    def __init__(self, config: SandboxConfig, catalogue: Catalogue, clock: Callable[[], float]) -> None:
        self.config, self.catalogue, self.clock = config, catalogue, clock
        self.lock = threading.RLock()
        self.url = ""
        folder = sample_folder()
        self._samples = {stream.name: read_samples(folder, stream.name) for stream in catalogue}
        self._generated = None if config.rows is None else GeneratedEntries(config.rows, config.seed, self._samples)
        self.start_over()
        self.organisation_id = _organisation(self.store)
        self.scopes = config.scopes if config.scopes is not None else every_scope(catalogue)
        self.clients = {
            client_id: Client(client_id, CLIENT_NAME, secret, config.redirect_uris, self.scopes)
            for client_id, secret in ((config.client_id, config.client_secret), (config.public_client_id, None))
        }
        if config.company is not None and config.company not in self.store.companies():
            raise ConfigurationError(f"The sandbox has no company {config.company!r}; it has: {', '.join(self.store.companies())}.")

    def start_over(self) -> None:
        """As if just started: samples as they came, no grants, no counts, the configured faults."""
        config = self.config
        with self.lock:
            self.store = Store(self.catalogue, self._samples, self._generated)
            self.lister = Lister(self.store)
            self.exports = Exports(self.store, self.clock)
            self.cursors = Cursors(config.seed)
            self.set_refused(*config.refused)
            self.set_bare_lists(*config.bare_lists)
            self.fault_plan = FaultPlan(config.faults, config.seed)
            self.rate_limit = RateLimit(config.requests_per_minute, self.clock, config.requests_at_once)
            self.counts = Counters()
            self.may_introspect = config.may_introspect
            self.window_bounds = config.window_bounds
            lifetimes = Lifetimes(config.access_token_lifetime, config.refresh_token_lifetime, config.code_lifetime)
            self.oauth = OAuthRules(lifetimes, self.counts, self.clock)

    # --- records -------------------------------------------------------------------------------

    def put(self, stream: str, record: Record) -> None:
        """Add a record to a stream, or replace the one with its `id`."""
        with self.lock:
            self.store.put(stream, record)

    def remove(self, stream: str, identity: str) -> bool:
        """Take a record away without a trace (as opposed to setting `deletedAt`); False when there is none."""
        with self.lock:
            return self.store.remove(stream, identity)

    def get(self, stream: str, identity: str) -> Record | None:
        """A copy of one record, or None."""
        with self.lock:
            return self.store.get(stream, identity)

    def records(self, stream: str, company_id: str | None = None) -> list[Record]:
        """Copies of a stream's records, of one company or all; with many generated rows this is large."""
        with self.lock:
            return list(self.store.records(stream, company_id))

    # --- export jobs ---------------------------------------------------------------------------

    def start_export_job(self, company_id: str, entry_ids: Sequence[str], created_at: str = "2026-11-22T12:00:00Z") -> str:
        """A new pending export job over entries that have an export item; returns its key."""
        with self.lock:
            return self.exports.start(company_id, entry_ids, created_at)

    def move_export_job(self, job_id: str, status: str) -> Record:
        """Put an export job into a status; its times and its items follow."""
        with self.lock:
            return self.exports.move(job_id, status)

    def end_export_job_after(self, job_id: str, pages: int) -> None:
        """Let an export job complete once so many pages of its export items were served."""
        with self.lock:
            self.exports.end_after(job_id, pages)

    def set_contra_accounts(self, company_id: str, *, present: bool) -> None:
        """Give a company contra accounts or take them away; without them its export items are refused (400)."""
        with self.lock:
            (self.exports.without_contra_accounts.discard if present else self.exports.without_contra_accounts.add)(company_id)

    # --- credentials ---------------------------------------------------------------------------

    def revoke_grants(self) -> int:
        """The user withdraws every grant; returns how many were live."""
        with self.lock:
            return self.oauth.revoke_all()

    def expire_access_tokens(self) -> int:
        """Every access token is over at once, refresh tokens still work; returns how many were live."""
        with self.lock:
            return self.oauth.expire_access_tokens()

    def default_subject(self) -> str:
        """The URN that consent grants unless the client asks for another."""
        if self.config.company is not None:
            return COMPANY_URN + self.config.company
        return ORGANISATION_URN + self.organisation_id

    def may_be_granted(self, subject: str) -> bool:
        """Whether the sandbox's user can consent for a subject URN."""
        if subject == self.default_subject():
            return True
        return (
            self.config.company is None and subject.removeprefix(COMPANY_URN) in self.store.companies() and subject.startswith(COMPANY_URN)
        )

    def companies_of(self, subject: str) -> frozenset[str]:
        """The ids of the companies that a subject URN covers."""
        companies = self.store.companies()
        if subject.startswith(COMPANY_URN):
            return frozenset(companies) & {subject.removeprefix(COMPANY_URN)}
        organisation = subject.removeprefix(ORGANISATION_URN)
        return frozenset(identity for identity, record in companies.items() if record.get("organizationId") == organisation)

    def name_of(self, subject: str) -> str:
        """A subject in words, for the consent page."""
        names = sorted(record["name"] for identity, record in self.store.companies().items() if identity in self.companies_of(subject))
        return ", ".join(names)

    # --- what is refused by role, and the shape of lists ----------------------------------------

    def set_refused(self, *resources: str) -> None:
        """Refuse reading these resources (403 ACCESS_DENIED), as `SandboxConfig.refused` says; without arguments, none."""
        known = {resource_of(stream) for stream in self.catalogue}
        known |= {f"{resource_of(stream)}:search" for stream in self.catalogue if stream.path.endswith(":search")}
        if unknown := [each for each in resources if each not in known]:
            raise ConfigurationError(f"The sandbox has no resource {unknown[0]!r} to refuse; it has: {', '.join(sorted(known))}.")
        with self.lock:
            self.refused = frozenset(resources)

    def set_bare_lists(self, *streams: str) -> None:
        """Serve the lists of these streams as bare JSON arrays; without arguments, none."""
        names = frozenset(self.catalogue.stream(name).name for name in streams)
        with self.lock:
            self.bare_lists = names

    # --- faults and counts ---------------------------------------------------------------------

    def set_faults(self, *faults: Fault) -> None:
        """Replace all faults; without arguments, none are left."""
        with self.lock:
            self.fault_plan.set(faults)

    def set_window_bounds(self, bounds: WindowBounds) -> None:
        """Which limits of a date filter are included from now on; lists sorted under the old ones are made again."""
        with self.lock:
            self.window_bounds = bounds
            self.lister = Lister(self.store)

    def counters(self) -> dict[str, Any]:
        """All counts since the start or the last reset, and how many tokens and grants live now."""
        with self.lock:
            return {**self.counts.as_json(), "live_tokens": self.oauth.live_tokens(), "live_grants": self.oauth.live_grants()}

    def reset_counters(self) -> None:
        """All counts back to nothing; grants, records, faults and the request budget stay."""
        with self.lock:
            self.counts.reset()


def resource_of(stream: Stream) -> str:
    """What Pleo's 403 calls the resource of a stream: `tag-group` where the scope is `tag-groups:read`."""
    name = stream.scope.partition(":")[0] or stream.name.replace("_", "-")
    return f"{name.removesuffix('ies')}y" if name.endswith("ies") else name.removesuffix("s")


def every_scope(catalogue: Catalogue) -> tuple[str, ...]:
    """Every scope the catalogue names, in all spellings, and the one for trying out the flow."""
    found: Iterable[str] = (scope for stream in catalogue for scope in (stream.scope, *stream.scope_alternatives))
    return tuple(dict.fromkeys((*filter(None, found), TRIAL_SCOPE)))


def _organisation(store: Store) -> str:
    found = {record["organizationId"] for record in store.companies().values() if record.get("organizationId")}
    if len(found) != 1:
        raise ConfigurationError(f"The sandbox's sample companies must share one organizationId; they have {len(found)}.")
    return str(found.pop())
