"""How far Dagster's event log has been compared with the batches of an asset.

The position is kept in Dagster's own storage: another Dagster on the same state has other runs and
another event log.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import dagster as dg

# Batches of several workers become visible a little out of the order in which they began.
_OVERLAP = timedelta(minutes=2)
# If the clock of the database was ahead, batches that began since then lie before the position.
_AFTER_A_WRONG_CLOCK = timedelta(days=1)
_MOST_OPEN = 1_000


@dataclass(frozen=True, slots=True)
class Told:
    """A position in the batches of an asset.

    Attributes:
        moment: Batches that began before it are settled; None at first.
        open: Ids of earlier batches that are not settled, with the number of looks that told of
            each.
    """

    moment: datetime | None = None
    open: Mapping[str, int] = field(default_factory=dict)

    def since(self, now: datetime) -> datetime | None:
        """From when on batches are to be looked at."""
        if self.moment is None:
            return None
        if self.moment > now:
            return now - _AFTER_A_WRONG_CLOCK
        return self.moment - _OVERLAP

    def moved(self, moment: datetime | None, still_open: Mapping[str, int]) -> "Told":
        """The position after a look."""
        return Told(moment, dict(list(still_open.items())[-_MOST_OPEN:]))


def read_told(instance: dg.DagsterInstance, key: dg.AssetKey) -> Told:
    """Read the position of an asset; the beginning if nobody has looked yet."""
    name = _name(key)
    text = instance.daemon_cursor_storage.get_cursor_values({name}).get(name)
    if text is None:
        return Told()
    found = json.loads(text)
    moment = datetime.fromisoformat(found["moment"]) if found["moment"] else None
    return Told(moment, found["open"])


def write_told(instance: dg.DagsterInstance, key: dg.AssetKey, told: Told) -> None:
    """Remember a position. Of two writers one wins; the other's batches are looked at again."""
    moment = told.moment.astimezone(timezone.utc).isoformat() if told.moment else None
    text = json.dumps({"moment": moment, "open": told.open})
    instance.daemon_cursor_storage.set_cursor_values({_name(key): text})


def _name(key: dg.AssetKey) -> str:
    return f"autoloader/told/{key.to_user_string()}"
