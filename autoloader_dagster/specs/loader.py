"""Loads every spec of a folder at once: the good ones typed, the broken ones with all their faults.

One broken spec never takes the others down. The folder right below the specs folder is the tenant;
specs at the root belong to the tenant ``default``.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from autoloader_dagster.errors import SpecError, SpecNotFound
from autoloader_dagster.specs.boundaries import refused_of_file, refused_of_spec
from autoloader_dagster.specs.connections import Connections, load_connections
from autoloader_dagster.specs.dagster_names import (
    BROKEN_SPECS,
    DEFAULT_TENANT,
    ONLY_MOUNT,
    DagsterNames,
    Key,
    Mount,
    clash,
    dagster_names,
)
from autoloader_dagster.specs.fault import SpecFault, first_faults, shown_path
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.specs.plain_words import faults_of
from autoloader_dagster.specs.registry import source_of
from autoloader_dagster.specs.spec_files import (
    faults_beyond,
    spec_files,
    tenant_of,
    within_limits,
)
from autoloader_dagster.specs.tenants import Fence, Tenants, load_tenants
from autoloader_dagster.specs.values import IDENTIFIER, did_you_mean
from autoloader_dagster.specs.yaml_document import Document, KeyPath, read_document

__all__ = ["DEFAULT_TENANT", "BrokenSpec", "LoadedSpec", "SpecSet", "load_specs"]


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
    """

    specs: tuple[LoadedSpec, ...]
    broken: tuple[BrokenSpec, ...]
    connections: Connections
    tenants: Tenants = field(default=Tenants())
    folder: Path = Path()
    mount: Mount = ONLY_MOUNT

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
                _broken_key(self.folder, each.path, self.mount),
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
                replace(each, key=_broken_key(self.folder, each.path, mount))
                for each in self.broken
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
        listed = f"The specs are {', '.join(known)}." if known else "There are no specs yet."
        raise SpecNotFound(f"there is no spec '{name}'{did_you_mean(name, known)}", listed)


@dataclass
class _Draft:
    """A spec file on its way to being loaded or broken."""

    document: Document
    tenant: str
    name: str
    spec: IngestionSpec | None = None
    faults: list[SpecFault] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.document.file

    def blame(self, path: KeyPath, message: str) -> None:
        self.faults.append(self.document.fault(path, message))

    @property
    def usable(self) -> bool:
        return self.spec is not None and not self.faults


def load_specs(specs_dir: Path | str) -> SpecSet:
    """Load every spec below a folder.

    Args:
        specs_dir: The folder; each folder in it is a tenant. Files whose names begin with ``_`` or
            ``.`` are no specs.

    Raises:
        SpecError: The folder itself is missing or cannot be read; never for a bad spec.

    Example:
        >>> from autoloader_dagster import load_specs
        >>> specs = load_specs("ingestion_specs")
        >>> [spec.ingestion_id for spec in specs.specs]
        ['default/orders']
        >>> [str(fault) for fault in specs.faults]
        []
    """
    specs_dir = Path(specs_dir)
    try:
        found = list(spec_files(specs_dir))
    except OSError as error:
        raise SpecError(
            f"the specs folder {shown_path(specs_dir)} cannot be read: {error.strerror or error}",
            "Create it, or set AUTOLOADER_SPECS_DIR to the folder that holds the specs.",
        ) from None
    tenants = sorted({file.parent.name for file in found if file.parent.parent == specs_dir})
    allowed = load_tenants(specs_dir, tenants)
    files, beyond = within_limits(specs_dir, found, allowed)
    connections = load_connections(specs_dir, tenants, allowed)
    drafts = [_draft(specs_dir, file) for file in files]
    for draft in drafts:
        try:
            _check_connection(draft, connections)
            _check_tenant(draft, specs_dir, allowed)
            _check_own_names(draft)
        except Exception as error:  # nothing in one spec keeps the others from being loaded
            draft.blame((), _cannot_be_checked(error))
    _check_names_and_tables(drafts, allowed)
    named = frozenset(
        [f"{draft.tenant}/{draft.name}" for draft in drafts]
        + [f"{tenant}/{file.stem}" for tenant, unread in beyond.items() for file in unread]
    )
    return SpecSet(
        tuple(
            replace(
                _loaded(draft, draft.spec), named_ingestions=named, fence=_fence(draft, allowed)
            )
            for draft in drafts
            if draft.spec and draft.usable
        ),
        (
            *(_broken(specs_dir, draft) for draft in drafts if not draft.usable),
            *(
                BrokenSpec(
                    fault.file,
                    tenant,
                    fault.file.stem,
                    (fault,),
                    _broken_key(specs_dir, fault.file, ONLY_MOUNT),
                )
                for tenant, unread in beyond.items()
                for fault in faults_beyond(tenant, unread, allowed)
            ),
        ),
        connections,
        allowed,
        specs_dir,
    )


def _draft(specs_dir: Path, file: Path) -> _Draft:
    """Read and check one file by itself."""
    document = read_document(file)
    draft = _Draft(document, tenant_of(specs_dir, file), file.stem)
    draft.faults.extend(document.faults)
    if len(file.relative_to(specs_dir).parts) > 2:
        draft.blame((), "lies too deep; specs go into the specs folder or one folder below it")
    if not IDENTIFIER.fullmatch(draft.tenant):
        draft.blame((), f"its folder '{draft.tenant}' must be lower-case letters, digits and _")
    if document.data is None:
        if not document.faults:
            draft.blame((), "the file is empty; it needs source, format and table")
        return draft
    if not isinstance(document.data, dict):
        draft.blame((), "a spec is made of keys (source, format, table), and this file is not")
        return draft
    named = document.data.get("name")
    if isinstance(named, str) and named:
        draft.name = named
    elif not IDENTIFIER.fullmatch(file.stem):
        draft.blame(
            ("name",),
            f"is missing, and the file's name '{file.stem}' cannot be used: it must be lower-case "
            "letters, digits and _",
        )
    try:
        draft.spec = IngestionSpec.model_validate(document.data)
    except ValidationError as error:
        draft.faults.extend(faults_of(error, IngestionSpec, document))
    except Exception as error:  # nothing in one spec keeps the others from being loaded
        draft.blame((), _cannot_be_checked(error))
    return draft


def _cannot_be_checked(error: Exception) -> str:
    return f"cannot be checked: {type(error).__name__}: {error}"


def _check_connection(draft: _Draft, connections: Connections) -> None:
    source = draft.spec.source if draft.spec else None
    if source is None or source.named_connection is None:
        return
    try:
        found = connections.get(draft.tenant, source.named_connection)
    except SpecError as error:
        draft.blame(("source", "connection"), error.what)
        return
    if found.type != source.type:
        message = f"'{found.name}' is a connection of type: {found.type}; name one of {source.type}"
        draft.blame(("source", "connection"), message)


def _check_tenant(draft: _Draft, specs_dir: Path, tenants: Tenants) -> None:
    for path, message in refused_of_file(draft.file, specs_dir, tenants):
        draft.blame(path, message)
    rules = tenants.of(draft.tenant)
    if draft.spec is None or rules is None or not tenants.knows(draft.tenant):
        return
    for path, message in refused_of_spec(draft.spec, draft.file, draft.tenant, rules):
        draft.blame(path, message)


def _check_own_names(draft: _Draft) -> None:
    """Refuse a table whose asset would have the key of the spec's own files."""
    if draft.spec is None:
        return
    names = dagster_names(draft.spec, draft.tenant, draft.name)
    if names.asset == names.source:
        asset = "/".join(names.asset)
        draft.blame(
            ("table", "name"),
            f"'{draft.spec.table.name}' would be the Dagster asset {asset}, which is the key of "
            "the files of this spec; give the table another namespace",
        )


def _fence(draft: _Draft, tenants: Tenants) -> Fence | None:
    rules = tenants.of(draft.tenant)
    return None if rules is None else Fence(draft.tenant, rules.folders, rules.follow_links)


def _check_names_and_tables(drafts: list[_Draft], tenants: Tenants) -> None:
    """Find specs that get in each other's way.

    Both sides of a conflict are broken, because nobody can tell which one is meant; but a spec that
    is broken already never takes a good one with it, and where tenants are limited, a tenant's spec
    never takes one of the root with it.
    """
    usable = [draft for draft in drafts if draft.usable]
    # By each of its names, so that no spec is compared with all others.
    having: dict[object, list[_Draft]] = defaultdict(list)
    writing: dict[str, dict[_Writes, list[_Draft]]] = defaultdict(lambda: defaultdict(list))
    for draft in usable:
        for name in _compared(draft):
            having[name].append(draft)
        if draft.spec:
            writing[_asset(draft.spec)][_writes(draft.spec)].append(draft)
    for draft in drafts:
        others = {id(other): other for name in _compared(draft) for other in having[name]}
        if draft.spec:
            others |= _rivals(draft.spec, writing[_asset(draft.spec)])
        for other in others.values():
            roots_own = draft.tenant == DEFAULT_TENANT and other.tenant != DEFAULT_TENANT
            if other is not draft and not (tenants.file and roots_own):
                _blame_conflict(draft, other)


def _compared(draft: _Draft) -> list[object]:
    own: list[object] = [("id", draft.tenant, draft.name)]
    if draft.spec:
        names = dagster_names(draft.spec, draft.tenant, draft.name)
        own += [names.asset, names.source]
        own += [("node", names.node), ("trigger", names.trigger)]
    return own


# The table that a spec writes, and whether it shares it.
_Writes = tuple[str, bool]


def _writes(spec: IngestionSpec) -> _Writes:
    return spec.table.name, spec.table.shared


def _rivals(spec: IngestionSpec, writers: Mapping[_Writes, list[_Draft]]) -> dict[int, _Draft]:
    """The specs that write the same table and do not share it with this one.

    Those that share it are not among them, because a thousand specs may share a table.
    """
    own = _writes(spec)
    return {
        id(other): other
        for writes, others in writers.items()
        if not (spec.table.shared and writes == own)
        for other in others
    }


def _blame_conflict(draft: _Draft, other: _Draft) -> None:
    file = shown_path(other.file)
    same = (draft.tenant, draft.name) == (other.tenant, other.name)
    if same:
        draft.blame(("name",), f"'{draft.name}' is the name of {file} too")
    if draft.spec is None or other.spec is None:
        return
    conflict = _table_conflict(draft.spec, other.spec, file)
    if conflict:
        draft.blame(("table", "name"), conflict)
        return
    shared = clash(
        dagster_names(draft.spec, draft.tenant, draft.name),
        dagster_names(other.spec, other.tenant, other.name),
    )
    if shared and not same:
        draft.blame(("name",), f"'{draft.name}' and {file} would both be {shared}; rename one")


def _asset(spec: IngestionSpec) -> str:
    """The table's namespace and name; the catalog is no part of the asset's key."""
    return spec.table.name.split(".", 1)[1]


def _table_conflict(spec: IngestionSpec, other: IngestionSpec, other_file: str) -> str | None:
    mine, theirs = spec.table, other.table
    asset = _asset(spec)
    if asset != _asset(other):
        return None
    if mine.name != theirs.name:
        return (
            f"'{mine.name}' and '{theirs.name}' ({other_file}) would be one Dagster asset, "
            f"{asset.replace('.', '/')}; give them other names"
        )
    if mine.shared and theirs.shared:
        return None
    return (
        f"'{mine.name}' is the table of {other_file} too; give each its own, or say "
        "table.shared: true in all of them"
    )


def _loaded(draft: _Draft, spec: IngestionSpec) -> LoadedSpec:
    source = spec.source
    url = source_of(source.type).absolute_url(source, draft.file)
    source = source.model_copy(update={"url": url})
    content = json.dumps(draft.document.data, sort_keys=True)
    return LoadedSpec(
        spec=spec.model_copy(update={"name": draft.name, "source": source}),
        path=draft.file,
        tenant=draft.tenant,
        text_hash=hashlib.sha256(content.encode()).hexdigest(),
    )


def _broken(specs_dir: Path, draft: _Draft) -> BrokenSpec:
    faults = first_faults(sorted(draft.faults, key=_place))
    key = _broken_key(specs_dir, draft.file, ONLY_MOUNT)
    return BrokenSpec(draft.file, draft.tenant, draft.name, faults, key)


def _place(fault: SpecFault) -> int:
    return fault.line or 0


def _broken_key(specs_dir: Path, file: Path, mount: Mount) -> Key:
    # A name that is not UTF-8 cannot be stored as a key.
    place = str(file.relative_to(specs_dir)).encode("utf-8", "backslashreplace").decode()
    *folders, name = Path(place).parts
    shown = mount.named(BROKEN_SPECS)
    return (*mount.key_prefix, shown, *(folders or (DEFAULT_TENANT,)), name)
