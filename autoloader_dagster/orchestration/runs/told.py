"""How far Dagster's event log has been compared with the batches of an asset.

The position is kept in Dagster's own storage: another Dagster on the same state has other runs and
another event log. It is no moment, because clocks jump; it is the number of a recorded batch. It
names that batch too: a state that was restored from a backup, or whose files were forgotten, gives
the same numbers to other batches.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.state.batches import Batches

_MOST_OPEN = 1_000


@dataclass(frozen=True, slots=True)
class Told:
    """A position in the recorded batches of an asset.

    Attributes:
        number: The ``record_number`` up to which batches are settled; 0 at first.
        batch_id: The batch that had this number; None at first.
        open: Ids of earlier batches that are not settled, with the number of looks that told of
            each.
    """

    number: int = 0
    batch_id: BatchId | None = None
    open: Mapping[str, int] = field(default_factory=dict)

    def is_of(self, batches: Batches) -> bool:
        """Whether these batches are those in which the position was taken."""
        if self.batch_id is None:
            return True
        # A batch that was recorded again has a higher number.
        return (batches.record_number(self.batch_id) or 0) >= self.number

    def moved(self, number: int, batch_id: BatchId | None, still_open: Mapping[str, int]) -> "Told":
        """The position after a look."""
        return Told(number, batch_id, dict(list(still_open.items())[-_MOST_OPEN:]))


def read_told(instance: dg.DagsterInstance, key: dg.AssetKey) -> Told:
    """Read the position of an asset; the beginning if nobody has looked yet."""
    name = _name(key)
    text = instance.daemon_cursor_storage.get_cursor_values({name}).get(name)
    found = {} if text is None else json.loads(text)
    # Earlier versions noted a moment. The events of their batches are found in the log.
    if "number" not in found:
        return Told()
    return Told(found["number"], found["batch_id"], found["open"])


def write_told(instance: dg.DagsterInstance, key: dg.AssetKey, told: Told) -> None:
    """Remember a position. Of two writers one wins; the other's batches are looked at again."""
    text = json.dumps({"number": told.number, "batch_id": told.batch_id, "open": told.open})
    instance.daemon_cursor_storage.set_cursor_values({_name(key): text})


def _name(key: dg.AssetKey) -> str:
    return f"autoloader/told/{key.to_user_string()}"
