"""One spec file on its way to being loaded: read, and checked by itself."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from autoloader_dagster.errors import SpecError
from autoloader_dagster.specs.boundaries import refused_of_file, refused_of_spec
from autoloader_dagster.specs.connections import Connections
from autoloader_dagster.specs.dagster_names import dagster_names
from autoloader_dagster.specs.fault import SpecFault
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.specs.plain_words import faults_of
from autoloader_dagster.specs.spec_files import tenant_of
from autoloader_dagster.specs.tenants import Tenants
from autoloader_dagster.specs.values import IDENTIFIER
from autoloader_dagster.specs.yaml_document import Document, KeyPath, read_document


@dataclass
class Draft:
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


def read_draft(specs_dir: Path, file: Path) -> Draft:
    """Read and check one file by itself."""
    document = read_document(file)
    draft = Draft(document, tenant_of(specs_dir, file), file.stem)
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


def check_draft(draft: Draft, specs_dir: Path, connections: Connections, tenants: Tenants) -> None:
    """Blame a spec for a wrong connection, for what its tenant must not name, and for its names."""
    try:
        _check_connection(draft, connections)
        _check_tenant(draft, specs_dir, tenants)
        _check_own_names(draft)
    except Exception as error:  # nothing in one spec keeps the others from being loaded
        draft.blame((), _cannot_be_checked(error))


def _check_connection(draft: Draft, connections: Connections) -> None:
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


def _check_tenant(draft: Draft, specs_dir: Path, tenants: Tenants) -> None:
    for path, message in refused_of_file(draft.file, specs_dir, tenants):
        draft.blame(path, message)
    rules = tenants.of(draft.tenant)
    if draft.spec is None or rules is None or not tenants.knows(draft.tenant):
        return
    for path, message in refused_of_spec(draft.spec, draft.file, draft.tenant, rules):
        draft.blame(path, message)


def _check_own_names(draft: Draft) -> None:
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
