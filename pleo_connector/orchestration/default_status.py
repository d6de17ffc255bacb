"""Which schedules and sensors run as soon as their definitions are loaded, and which a person must start."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from pleo_connector.errors import ConfigurationError


class DefaultStatus:
    """Of one connection. Only the schedules and sensors in `running` start by themselves; names are without the connection's (`hourly`)."""

    def __init__(self, connection: str, running: Iterable[str] = ()) -> None:
        self._connection = connection
        self._running = frozenset(running)
        self._names: list[str] = []

    def schedule(self, name: str, does: str) -> dict[str, Any]:
        """Name, description and default status of a schedule."""
        status = dg.DefaultScheduleStatus.RUNNING if name in self._running else dg.DefaultScheduleStatus.STOPPED
        return self._declare(name, does) | {"default_status": status}

    def sensor(self, name: str, does: str) -> dict[str, Any]:
        """Name, description and default status of a sensor."""
        status = dg.DefaultSensorStatus.RUNNING if name in self._running else dg.DefaultSensorStatus.STOPPED
        return self._declare(name, does) | {"default_status": status}

    def check(self) -> None:
        """ConfigurationError for a name that no schedule and no sensor of this connection has."""
        if wrong := sorted(self._running.difference(self._names)):
            raise ConfigurationError(
                f"running names {', '.join(wrong)}, and {self._connection} has no such schedule or sensor; it has {', '.join(sorted(self._names))}."
            )

    def _declare(self, name: str, does: str) -> dict[str, Any]:
        self._names.append(name)
        return {
            "name": f"{self._connection}_{name}",
            "description": does if name in self._running else f"{does} Stopped until you start it.",
        }
