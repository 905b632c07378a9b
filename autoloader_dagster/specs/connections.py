"""Named ways to reach a source, from ``_connections.yaml``. Secrets are referred to, never written.

Secrets are read when the connection is used, so that loading the specs needs no credentials.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError, create_model

from autoloader_dagster.errors import SpecError
from autoloader_dagster.specs.boundaries import refused_of_connection, secret_folders
from autoloader_dagster.specs.connection_section import ConnectionSection, References
from autoloader_dagster.specs.dagster_names import DEFAULT_TENANT
from autoloader_dagster.specs.fault import SpecFault, first_faults, shown_path
from autoloader_dagster.specs.file_names import misnamed
from autoloader_dagster.specs.plain_words import faults_of
from autoloader_dagster.specs.registry import SOURCES, UNSUPPORTED_SOURCES, source_of
from autoloader_dagster.specs.tenants import TenantRules, Tenants, is_below
from autoloader_dagster.specs.values import IDENTIFIER, did_you_mean
from autoloader_dagster.specs.yaml_document import Document, read_document

CONNECTIONS_FILE = "_connections.yaml"


@dataclass(frozen=True)
class Connection:
    """One entry of a ``_connections.yaml``.

    Attributes:
        name: Its name.
        file: The file that it is in.
        settings: What is there, checked; secrets are references.
        secrets_in: The folders that its secret files must be in; None for everywhere.
    """

    name: str
    file: Path
    settings: ConnectionSection
    secrets_in: tuple[str, ...] | None = None

    @property
    def type(self) -> str:
        """The kind of source that it is for."""
        return self.settings.type

    def resolve(self, environ: Mapping[str, str] | None = None) -> Any:
        """What its kind of source needs, with the secrets read now.

        Args:
            environ: Where ``env:NAME`` is looked up; default ``os.environ``.

        Raises:
            SpecError: A variable or file is missing, or what it holds cannot be used.
        """

        def allowed(path: Path) -> bool:
            return self.secrets_in is None or is_below(path, self.secrets_in)

        env = os.environ if environ is None else environ
        return self.settings.resolve(References(self.name, self.file.parent, env, allowed))


@dataclass(frozen=True)
class _Scope:
    """What one ``_connections.yaml`` offers."""

    file: Path
    whole: bool
    good: Mapping[str, Connection]
    bad: frozenset[str]
    faults: tuple[SpecFault, ...]


@dataclass(frozen=True)
class Connections:
    """All connections, and who may use which: a tenant its own, and those at the root."""

    _root: _Scope | None = None
    _tenants: Mapping[str, _Scope] = field(default_factory=dict)

    @property
    def faults(self) -> tuple[SpecFault, ...]:
        """What is wrong in the ``_connections.yaml`` files."""
        scopes = [self._root, *(self._tenants[tenant] for tenant in sorted(self._tenants))]
        return tuple(fault for scope in scopes if scope for fault in scope.faults)

    def names(self, tenant: str) -> list[str]:
        """The connections that this tenant may use, sorted."""
        return sorted(
            {name for scope in self._scopes(tenant) for name in (*scope.good, *scope.bad)}
        )

    def get(self, tenant: str, name: str) -> Connection:
        """The tenant's own connection of this name, or else the root's.

        Raises:
            SpecError: There is none, or it is broken. A broken one never gives way to the root's,
                which would be other credentials.
        """
        for scope in self._scopes(tenant):
            if name in scope.good:
                return scope.good[name]
            if name in scope.bad or not scope.whole:
                where = shown_path(scope.file)
                raise SpecError(f"connection '{name}' cannot be used, for {where} is broken")
        known = self.names(tenant)
        if not known:
            raise SpecError(f"'{name}' is not in {CONNECTIONS_FILE}, which names no connection yet")
        listed = f"'{name}' is not one of the connections in {CONNECTIONS_FILE}: {', '.join(known)}"
        raise SpecError(f"{listed}{did_you_mean(name, known)}")

    def _scopes(self, tenant: str) -> Iterator[_Scope]:
        scopes = (self._tenants.get(tenant), self._root)
        # A folder of the root's own name must not have the root's specs use other credentials.
        for scope in reversed(scopes) if tenant == DEFAULT_TENANT else scopes:
            if scope:
                yield scope


def load_connections(
    specs_dir: Path, tenants: list[str], allowed: Tenants | None = None
) -> Connections:
    """Read ``_connections.yaml`` of the specs folder and of each tenant's folder.

    Never raises for what is in them; see ``Connections.faults``.

    Args:
        specs_dir: The folder of the specs.
        tenants: The tenants that have a folder.
        allowed: What each tenant may name; default everything.
    """
    allowed = allowed or Tenants()
    root = _load_scope(specs_dir / CONNECTIONS_FILE)
    found: dict[str, _Scope] = {}
    for tenant in tenants:
        scope = _load_scope(specs_dir / tenant / CONNECTIONS_FILE, tenant, allowed.of(tenant))
        if scope and tenant == DEFAULT_TENANT:
            scope = _below_root(scope, root, usable=allowed.file is None)
        if scope:
            found[tenant] = scope
    return Connections(root, found)


def _below_root(scope: _Scope, root: _Scope | None, *, usable: bool) -> _Scope:
    """What a folder of the root's own name adds to the root's connections."""
    taken = sorted({*scope.good, *scope.bad} & ({*root.good, *root.bad} if root else set()))
    faults = [
        SpecFault(scope.file, None, name, "is a connection of the root, which this one cannot be")
        for name in taken
    ]
    if not usable:
        faults = [SpecFault(scope.file, None, "", "its folder would have the rights of the root")]
    good = {name: each for name, each in scope.good.items() if usable and name not in taken}
    return replace(scope, good=good, faults=(*scope.faults, *faults))


def _load_scope(
    file: Path, tenant: str = DEFAULT_TENANT, rules: TenantRules | None = None
) -> _Scope | None:
    wrong = tuple(
        SpecFault(each, None, "", f"is not read; rename it to {CONNECTIONS_FILE}")
        for each in misnamed(file.parent, CONNECTIONS_FILE)
    )
    if wrong:
        # What it holds would give way to the connections of the root.
        return _Scope(wrong[0].file, False, {}, frozenset(), wrong)
    if not file.exists() and not file.is_symlink():
        return None
    if rules is not None and not is_below(file, (str(file.parent),)):
        fault = SpecFault(file, None, "", f"is a link out of the folder of tenant '{tenant}'")
        return _Scope(file, False, {}, frozenset(), (fault,))
    document = read_document(file)
    faults = list(document.faults)
    data = document.data
    # An entry that is written twice, or half read, might be either: the file is not whole.
    whole = not faults
    if data is not None and not isinstance(data, dict):
        faults.append(document.fault((), "is not a list of connections; write 'name: {type: s3}'"))
        return _Scope(file, False, {}, frozenset(), tuple(faults))
    good: dict[str, Connection] = {}
    bad: set[str] = set()
    for name, entry in (data or {}).items():
        wrong = _faults_of_entry(document, name, entry)
        if not wrong:
            model = source_of(entry["type"]).connection
            try:
                settings = model.model_validate(entry)
            except ValidationError as error:
                wrong = faults_of(error, model, document, below=(name,), secret=True)
            else:
                refused = refused_of_connection(settings, file, tenant, rules) if rules else ()
                wrong = [document.fault((name, *key), message) for key, message in refused]
                secrets_in = secret_folders(file, rules) if rules else None
                good[name] = Connection(name, file, settings, secrets_in)
        if wrong:
            good.pop(name, None)
            bad.add(name)
            faults.extend(wrong)
    return _Scope(file, whole, good if whole else {}, frozenset(bad), first_faults(faults))


def _faults_of_entry(document: Document, name: str, entry: Any) -> list[SpecFault]:
    if not IDENTIFIER.fullmatch(name):
        message = f"'{name}' is not a name in lower-case letters, digits and _"
        return [document.fault((), message, at=(name,))]
    if not isinstance(entry, dict):
        return [document.fault((name,), "is not a section; keys go below it, such as type: s3")]
    if entry.get("type") in UNSUPPORTED_SOURCES:
        return [document.fault((name, "type"), f"{entry['type']} is not supported yet")]
    kinds = tuple(kind for kind in SOURCES if source_of(kind).connection is not None)
    if entry.get("type") in kinds:
        return []
    typed = _typed(kinds)
    try:
        typed.model_validate(entry)
    except ValidationError as error:
        return faults_of(error, typed, document, below=(name,), secret=True)
    return []


@cache
def _typed(kinds: tuple[str, ...]) -> type[BaseModel]:
    one_of_them: Any = Literal[kinds]
    return create_model("Typed", type=one_of_them)
