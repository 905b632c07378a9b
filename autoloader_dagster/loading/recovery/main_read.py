"""Main as it was read, and what must still hold before the state is changed because of it.

The table is the truth, and reading it takes time. Meanwhile another worker may publish and record
a load, an undo or a reload, and a person may roll main back. So whatever is written to the state
because of a reading is written by a compare-and-set over both:

1. The table is read as of one snapshot, main's head H. What is read is one moment of the table.
2. The state is asked which batches of the ingestion are recorded and released.
3. ``unchanged`` asks for main's head once more. It is H, or nothing is written. No transaction of
   the state is open meanwhile, because Spark may be slow and others must not wait for it.
4. The write takes the lock of the ingestion. From here to its end nobody records a batch, releases
   one or requeues a file of this ingestion.
5. Under that lock the write asks for those batches again. If they are others than at step 2, it
   goes back there.
6. Under that lock the write compares each row with what was compared before: its status, or the
   batch that loaded it. A row that has changed stays as it is.

Why no moment is left between the check of main and the write: at step 3 main is H, so all that is
published up to then is in H, and the reading is true. A batch that is published after step 3 is
not recorded at step 5, because no batch was recorded since step 2; and from then on its record
needs the lock. It is recorded after this write, by its worker or by a catch-up, and then sets the
files that it loaded, replaced or undid, whatever this write made of them. Until then the files
that this write requeued can be claimed, but every attempt catches up with main before it
publishes, records that batch first and leaves its files out.

If there was no table, the same holds for its absence. Main that was rolled back and forward to H
between both looks is H again, so the reading is true again.
"""

from dataclasses import dataclass

from autoloader_dagster.errors import MainMoved
from autoloader_dagster.loading.lakehouse import Table


@dataclass(frozen=True, slots=True)
class MainRead:
    """One reading of a table.

    Attributes:
        table: The table.
        head: Main's head, as of which the rows are read; None if there is no table.
    """

    table: Table
    head: int | None

    def unchanged(self) -> None:
        """Check that main is still where it was read; the guard of what is written because of it.

        Raises:
            MainMoved: It is not.
        """
        now = self._head_now()
        if now != self.head:
            raise MainMoved(
                f"main of {self.table.name} moved from {self.head or 'no table'} to "
                f"{now or 'no table'} while the state was compared with it",
                "Nothing was changed. Run the command again.",
            )

    def is_current(self) -> bool:
        """Whether main is still where it was read."""
        return self._head_now() == self.head

    def _head_now(self) -> int | None:
        return self.table.head() if self.table.exists() else None
