"""The state of loading: which file versions are known, and what became of each.

``ProcessedFiles`` is all that the rest of the package sees of the state database. It has one part a
concern, and each part is a class in the module of its name.
"""

from autoloader_dagster.state import upgrade
from autoloader_dagster.state.batch_files import BatchFiles
from autoloader_dagster.state.batches import Batches
from autoloader_dagster.state.claims import Claims
from autoloader_dagster.state.database import Database
from autoloader_dagster.state.discovery import FileDiscovery
from autoloader_dagster.state.files import Files
from autoloader_dagster.state.rebuild import Rebuild
from autoloader_dagster.state.rollbacks import Rollbacks
from autoloader_dagster.state.tables import Tables
from autoloader_dagster.state.totals import Totals


class ProcessedFiles:
    """The state database. One object may serve several threads.

    Every method of every part raises ``StateError`` when the database is down, locked, full,
    read-only, not set up or of another version; no other error of the database comes out, and never
    a password.
    Times are aware and in UTC, sizes in bytes. An ingestion is named ``tenant/name``.

    Attributes:
        discovery: Records what listings of the source show.
        files: The recorded versions of files, and what people change of them.
        totals: Numbers of files and rows.
        claims: The batches that workers hold, under a lease.
        batches: The recorded batches.
        batch_files: What became of the files of a batch.
        rollbacks: What main has lost.
        rebuild: Brings the state up to a table that knows more.
        tables: How far tables were followed, and which ingestions load them.

    Args:
        database_url: ``sqlite:////folder/state.db`` or ``postgresql://user:password@host:port/name``;
            nothing is opened before the first call.

    Raises:
        UsageError: The URL is not one of those.
    """

    def __init__(self, database_url: str) -> None:
        self._database = Database(database_url)
        self.discovery = FileDiscovery(self._database)
        self.files = Files(self._database)
        self.totals = Totals(self._database)
        self.claims = Claims(self._database)
        self.batches = Batches(self._database)
        self.batch_files = BatchFiles(self._database)
        self.rollbacks = Rollbacks(self._database)
        self.rebuild = Rebuild(self._database)
        self.tables = Tables(self._database)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._database.close()

    def set_up(self) -> None:
        """Create the schema in an empty database; one that is in use is only checked.

        Several processes may do so at once. A schema that is older or newer than this package's
        is accepted if this package can use it as it is.
        """
        upgrade.set_up(self._database)

    def upgrade(self) -> None:
        """Create the schema or bring it up to date; several processes may do so at once."""
        upgrade.upgrade(self._database)

    def current(self) -> str | None:
        """The schema's revision; None for a database without one, or none at all."""
        return upgrade.current(self._database).revision

    def is_usable(self) -> bool:
        """Whether this package can use the database as it is."""
        return upgrade.current(self._database).is_usable
