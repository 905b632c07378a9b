"""Checks that a tenant's specs and connections name only what ``_tenant.yaml`` allows it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloader_dagster.specs.dagster_names import DEFAULT_TENANT
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.specs.registry import source_of
from autoloader_dagster.specs.secrets import ENV_REFERENCE, SecretRef
from autoloader_dagster.specs.tenants import TENANTS_FILE, TenantRules, Tenants, is_below

if TYPE_CHECKING:
    from autoloader_dagster.specs.connection_section import ConnectionSection

Refusal = tuple[tuple[str, ...], str]

# Iceberg properties that write elsewhere, or run other code, than the table's own namespace does.
_OUTSIDE = ("path", "location", "impl", "encryption", "kms")


def refused_of_file(file: Path, specs_dir: Path, tenants: Tenants) -> Iterator[Refusal]:
    """What forbids a spec file to be used, whatever it says."""
    folder = file.relative_to(specs_dir).parts[:-1]
    if tenants.file is None or not folder:
        return
    tenant = folder[0]
    if tenant == DEFAULT_TENANT:
        yield (
            (),
            f"its folder '{tenant}' would have the rights of the specs at the root; rename it, and "
            f"give the new name an entry in {TENANTS_FILE}",
        )
    elif not tenants.knows(tenant):
        yield (), f"tenant '{tenant}' has no good entry in {TENANTS_FILE}, and may use nothing"
    if not is_below(file, (str(specs_dir / tenant),)):
        yield (), f"is a link out of the folder of tenant '{tenant}'"


def refused_of_spec(
    spec: IngestionSpec, file: Path, tenant: str, rules: TenantRules
) -> Iterator[Refusal]:
    """What a spec names although it must not, each with its key."""
    table, source = spec.table, spec.source
    if not rules.owns(table.name):
        message = rules.may_not(tenant, f"write '{table.name}'", "namespaces")
        yield ("table", "name"), message
    for key in table.properties:
        if any(word in key.lower() for word in _OUTSIDE):
            yield (
                ("table", "properties", key),
                f"tenant '{tenant}' must not set where or how a table is stored",
            )
    refused = source_of(source.type).refused(source, file, rules)
    if refused is not None:
        message = rules.may_not(tenant, refused.what, refused.by)
        yield ("source", "url"), message


def refused_of_connection(
    settings: "ConnectionSection", file: Path, tenant: str, rules: TenantRules
) -> Iterator[Refusal]:
    """What a connection of a tenant's own names although it must not, each with its key."""
    for key in type(settings).model_fields:
        value = getattr(settings, key)
        name = _variable(value)
        if name is not None and not rules.may_name_variable(name):
            yield (key,), rules.may_not(tenant, f"use the variable {name}", "variables")
        if isinstance(value, SecretRef) and value.kind == "file":
            path = file.parent / Path(value.where).expanduser()
            if not is_below(path, secret_folders(file, rules)):
                what = f"use the file {value.where}"
                yield (key,), rules.may_not(tenant, what, "secret_folders")
    for key, message in settings.refused(tenant, rules):
        yield (key,), message


def secret_folders(file: Path, rules: TenantRules) -> tuple[str, ...]:
    """The folders of a tenant's secrets; its own folder of specs is always one of them."""
    return (*rules.secret_folders, str(file.parent))


def _variable(value: Any) -> str | None:
    if isinstance(value, SecretRef):
        return value.where if value.kind == "env" else None
    match = ENV_REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else None
