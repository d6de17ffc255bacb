"""Two Celery workers with homes of their own, a broker, and PostgreSQL for all that they share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import kombu.connection
import yaml

CHECKOUT = Path(__file__).parents[2]
BROKER = os.environ.get("PLEO_TEST_BROKER", "pyamqp://guest:guest@127.0.0.1:5672//")
"""RabbitMQ: it hands a task to another worker as soon as the connection of the one that had it is gone."""

CODE_LOCATION = '''
"""What every worker and the launcher load."""

from dagster_celery import celery_executor

from pleo_connector import build_pleo_definitions

defs = build_pleo_definitions(step_per_table=True, executor=celery_executor)
'''


def why_not() -> str | None:
    """Why there is no broker to test with, or None."""
    try:
        with kombu.connection.Connection(BROKER, connect_timeout=2) as connection:
            connection.connect()
    except OSError as error:
        return f"no RabbitMQ answers ({error}); PLEO_TEST_BROKER names another one"
    return None


def _process(*arguments: str, cwd: Path, environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        # a group of its own: Celery's workers are several processes, which die together when their host does
        return subprocess.Popen(arguments, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)


@dataclass
class Host:
    """A folder that stands for a machine: its own home for Dagster, its own copy of the code location."""

    folder: Path
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        self.process = _process(*arguments, cwd=self.folder, environ=self.environ, log=self.log)
        return self.process

    def kill(self) -> None:
        """As if the power went: every process of it, at once."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


@dataclass
class Cluster:
    """The launcher and two workers."""

    launcher: Host
    workers: tuple[Host, Host]
    run_config: Path
    logs: list[Path] = field(default_factory=list)

    def run(self) -> subprocess.Popen[bytes]:
        """Start the sync job; its steps go to the workers."""
        program = str(Path(sys.executable).with_name("dagster"))
        return self.launcher.start(program, "job", "execute", "-m", "celery_place", "-j", "pleo_sync", "-c", str(self.run_config))

    def all_logs(self) -> str:
        """All logs, for a failing test."""
        return "\n".join(
            f"--- {host.folder.name}\n{host.log.read_text()[-4000:]}" for host in (self.launcher, *self.workers) if host.log.exists()
        )


@contextmanager
def cluster(folder: Path, storage: str, pleo: Mapping[str, str]) -> Iterator[Cluster]:
    """Workers that listen on a queue of their own; nothing of it is left at the end."""
    queue = f"pleo-test-{uuid.uuid4().hex[:12]}"
    config = {
        "broker": BROKER,
        "backend": "rpc://",
        # A task that a dead worker had is another worker's.
        "config_source": {"task_default_queue": queue, "task_acks_late": True, "task_reject_on_worker_lost": True},
    }
    hosts = []
    for name in ("launcher", "worker-a", "worker-b"):
        place = folder / name
        (place / "home").mkdir(parents=True)
        (place / "celery_place.py").write_text(textwrap.dedent(CODE_LOCATION))
        (place / "home" / "dagster.yaml").write_text(
            yaml.safe_dump({"telemetry": {"enabled": False}, "storage": {"postgres": {"postgres_url": storage}}})
        )
        (place / "celery.yaml").write_text(yaml.safe_dump({"execution": {"config": config}}))
        environ = {**os.environ, **pleo, "DAGSTER_HOME": str(place / "home"), "PYTHONPATH": f"{place}{os.pathsep}{CHECKOUT}"}
        environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # dagster-celery starts `celery`
        hosts.append(Host(place, environ))
    launcher, one, other = hosts
    made = Cluster(launcher, (one, other), launcher.folder / "celery.yaml")
    program = str(Path(sys.executable).with_name("dagster-celery"))
    with ExitStack() as stack:
        for host in hosts:
            stack.callback(host.kill)
        stack.callback(_forget, queue)
        for host in made.workers:
            host.start(
                program,
                "worker",
                "start",
                "-A",
                "dagster_celery.app",
                "-y",
                str(host.folder / "celery.yaml"),
                "-n",
                host.folder.name,
                "-q",
                queue,
                "--",
                "--concurrency",
                "2",
            )
        yield made


def _forget(queue: str) -> None:
    with kombu.connection.Connection(BROKER) as connection, connection.channel() as channel:
        channel.queue_delete(queue)
