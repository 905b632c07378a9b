"""Loads every spec of a folder at once: the good ones typed, the broken ones with all their faults.

One broken spec never takes the others down. The folder right below the specs folder is the tenant;
specs at the root belong to the tenant ``default``.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from autoloader_dagster.errors import SpecsNotReadable
from autoloader_dagster.specs.conflicts import blame_conflicts
from autoloader_dagster.specs.connections import load_connections
from autoloader_dagster.specs.dagster_names import ONLY_MOUNT
from autoloader_dagster.specs.draft import Draft, check_draft, read_draft
from autoloader_dagster.specs.fault import SpecFault, first_faults, shown_path
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.specs.registry import source_of
from autoloader_dagster.specs.spec_files import (
    faults_beyond,
    spec_files,
    tenant_folders,
    within_limits,
)
from autoloader_dagster.specs.spec_set import BrokenSpec, LoadedSpec, SpecSet, broken_key
from autoloader_dagster.specs.tenants import Fence, Tenants, load_tenants


def load_specs(specs_dir: Path | str) -> SpecSet:
    """Load every spec below a folder.

    Args:
        specs_dir: The folder; each folder in it is a tenant. Files whose names begin with ``_`` or
            ``.`` are no specs.

    Raises:
        SpecsNotReadable: The folder itself is missing or cannot be read; never for a bad spec.

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
        folders = tenant_folders(specs_dir)
    except OSError as error:
        raise SpecsNotReadable(
            f"the specs folder {shown_path(specs_dir)} cannot be read: {error.strerror or error}",
            "Create it, or set AUTOLOADER_SPECS_DIR to the folder that holds the specs.",
        ) from None
    tenants = sorted({file.parent.name for file in found if file.parent.parent == specs_dir})
    allowed = load_tenants(specs_dir, folders)
    files, beyond = within_limits(specs_dir, found, allowed)
    connections = load_connections(specs_dir, tenants, allowed)
    drafts = [read_draft(specs_dir, file) for file in files]
    for draft in drafts:
        check_draft(draft, specs_dir, connections, allowed)
    blame_conflicts(drafts, allowed)
    named = frozenset(
        [f"{draft.tenant}/{draft.name}" for draft in drafts]
        + [f"{tenant}/{file.stem}" for tenant, unread in beyond.items() for file in unread]
    )
    return SpecSet(
        tuple(
            replace(
                _loaded(draft, draft.spec),
                named_ingestions=named,
                fence=_fence(draft, allowed),
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
                    broken_key(specs_dir, fault.file, ONLY_MOUNT),
                )
                for tenant, unread in beyond.items()
                for fault in faults_beyond(tenant, unread, allowed)
            ),
        ),
        connections,
        allowed,
        specs_dir,
        unread=frozenset(beyond),
    )


def _fence(draft: Draft, tenants: Tenants) -> Fence | None:
    rules = tenants.of(draft.tenant)
    return None if rules is None else Fence(draft.tenant, rules.folders, rules.follow_links)


def _loaded(draft: Draft, spec: IngestionSpec) -> LoadedSpec:
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


def _broken(specs_dir: Path, draft: Draft) -> BrokenSpec:
    faults = first_faults(sorted(draft.faults, key=_place))
    key = broken_key(specs_dir, draft.file, ONLY_MOUNT)
    return BrokenSpec(draft.file, draft.tenant, draft.name, faults, key)


def _place(fault: SpecFault) -> int:
    return fault.line or 0
