"""What a specs folder holds: specs that can be used, and broken ones with their faults."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from autoloader_dagster.errors import SpecError, SpecNotFound
from autoloader_dagster.specs.connections import Connections
from autoloader_dagster.specs.dagster_names import (
    BROKEN_SPECS,
    DEFAULT_TENANT,
    ONLY_MOUNT,
    DagsterNames,
    Key,
    Mount,
    dagster_names,
)
from autoloader_dagster.specs.fault import SpecFault, shown_path
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.specs.tenants import Fence, Tenants
from autoloader_dagster.specs.values import did_you_mean


@dataclass(frozen=True)
class LoadedSpec:
    """A spec that can be used.

    Attributes:
        spec: The spec, with its name filled in and its ``url`` made absolute.
        path: Its file.
        tenant: The tenant that it belongs to.
        text_hash: Digest of what the file says; comments and the order of keys do not change it.
        named_ingestions: Every ingestion that a spec of the folder names, the broken ones too.
        fence: Where its local files may be; None for everywhere.
        mount: Where its folder is mounted in a Dagster project.
    """

    spec: IngestionSpec
    path: Path
    tenant: str
    text_hash: str
    named_ingestions: frozenset[str] = frozenset()
    fence: Fence | None = None
    mount: Mount = ONLY_MOUNT

    @property
    def ingestion_id(self) -> str:
        """``tenant/name``: what the state knows the ingestion by."""
        return f"{self.tenant}/{self.spec.name}"

    @property
    def names(self) -> DagsterNames:
        """What it is called in Dagster."""
        return dagster_names(self.spec, self.tenant, self.spec.name, self.mount)


@dataclass(frozen=True)
class BrokenSpec:
    """A spec file that cannot be used.

    Attributes:
        path: Its file.
        tenant: The tenant that it belongs to.
        name: Its name, as far as it can be told.
        faults: Everything that is wrong with it, in the order of the file.
        key: Of the asset that shows it in Dagster: by its place below the specs folder, because
            its name may be what is wrong with it.
    """

    path: Path
    tenant: str
    name: str
    faults: tuple[SpecFault, ...]
    key: Key

    @property
    def ingestion_id(self) -> str:
        """``tenant/name``."""
        return f"{self.tenant}/{self.name}"


@dataclass(frozen=True)
class SpecSet:
    """What a specs folder holds, in the order of tenants and files.

    Attributes:
        specs: The good ones.
        broken: The others.
        connections: Of all tenants.
        tenants: What each tenant may name.
        folder: The specs folder.
        mount: Where the folder is mounted in a Dagster project.
        unread: Tenants with more spec files than the operator allows; nobody knows what the files
            beyond name.
    """

    specs: tuple[LoadedSpec, ...]
    broken: tuple[BrokenSpec, ...]
    connections: Connections
    tenants: Tenants = field(default=Tenants())
    folder: Path = Path()
    mount: Mount = ONLY_MOUNT
    unread: frozenset[str] = frozenset()

    @property
    def faults(self) -> tuple[SpecFault, ...]:
        """Every fault of every file."""
        of_specs = tuple(fault for spec in self.broken for fault in spec.faults)
        return self.tenants.faults + self.connections.faults + of_specs

    def without(self, refused: Mapping[str, str]) -> "SpecSet":
        """The same folder with some of the good specs broken.

        Args:
            refused: What is wrong with each of them, by ``tenant/name``.
        """
        broken = tuple(
            BrokenSpec(
                each.path,
                each.tenant,
                each.spec.name,
                (SpecFault(each.path, None, "", refused[each.ingestion_id]),),
                broken_key(self.folder, each.path, self.mount),
            )
            for each in self.specs
            if each.ingestion_id in refused
        )
        good = tuple(each for each in self.specs if each.ingestion_id not in refused)
        return replace(self, specs=good, broken=(*self.broken, *broken))

    def mounted(self, mount: Mount) -> "SpecSet":
        """The same folder mounted in a Dagster project; every name in Dagster is the mount's.

        Args:
            mount: Where it is mounted.
        """
        moved = replace(
            self,
            specs=tuple(replace(each, mount=mount) for each in self.specs),
            broken=tuple(
                replace(each, key=broken_key(self.folder, each.path, mount)) for each in self.broken
            ),
            mount=mount,
        )
        sources = {each.names.source for each in moved.specs}
        # The loader knows the keys of the files without a mount only.
        taken = [each for each in moved.specs if each.names.asset in sources]
        return moved.without(
            {
                each.ingestion_id: f"'{each.spec.table.name}' would be the Dagster asset "
                f"{'/'.join(each.names.asset)}, which is the key of the files of a spec; give the "
                "table another namespace"
                for each in taken
            }
        )

    def get(self, name: str) -> LoadedSpec:
        """The spec with this name or ``tenant/name``.

        Raises:
            SpecNotFound: There is none.
            SpecError: It is broken, or several tenants have one of this name.
        """
        found = [s for s in self.specs if name in (s.ingestion_id, s.spec.name)]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(spec.ingestion_id for spec in found)
            raise SpecError(f"there are several specs named '{name}': {ids}", "Say which one.")
        for spec in self.broken:
            if name in (spec.ingestion_id, spec.name):
                faults = "".join(f"\n  {fault}" for fault in spec.faults)
                raise SpecError(
                    f"the spec '{name}' is broken:{faults}", "Correct it and try again."
                )
        names = [spec.spec.name for spec in self.specs]
        ids = [spec.ingestion_id for spec in self.specs]
        known = ids if "/" in name or len(set(names)) < len(names) else names
        listed = (
            f"The specs are {', '.join(known)}."
            if known
            else f"There are no specs yet in {shown_path(self.folder)}."
        )
        raise SpecNotFound(f"there is no spec '{name}'{did_you_mean(name, known)}", listed)


def broken_key(specs_dir: Path, file: Path, mount: Mount) -> Key:
    """The key of the asset that shows a broken spec file."""
    # A name that is not UTF-8 cannot be stored as a key.
    place = str(file.relative_to(specs_dir)).encode("utf-8", "backslashreplace").decode()
    *folders, name = Path(place).parts
    shown = mount.named(BROKEN_SPECS)
    return (*mount.key_prefix, shown, *(folders or (DEFAULT_TENANT,)), name)
