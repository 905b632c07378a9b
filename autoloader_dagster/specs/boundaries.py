"""Checks that a tenant's specs and connections name only what ``_tenant.yaml`` allows it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from autoloader_dagster.specs.dagster_names import DEFAULT_TENANT
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.specs.secrets import ENV_REFERENCE, SecretRef
from autoloader_dagster.specs.source import LocalSource
from autoloader_dagster.specs.tenants import TENANTS_FILE, TenantRules, Tenants, is_below

if TYPE_CHECKING:
    from autoloader_dagster.specs.connections import S3Settings

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
    """What a spec names and may not, each with its key."""

    def may_not(what: str, allowed: tuple[str, ...], kind: str) -> str:
        listed = ", ".join(allowed) or "none"
        return f"tenant '{tenant}' may not {what}; its {kind} in {TENANTS_FILE}: {listed}"

    table, source = spec.table, spec.source
    if not rules.owns(table.name):
        message = may_not(f"write '{table.name}'", rules.namespaces, "namespaces")
        yield ("table", "name"), message
    for key in table.properties:
        if any(word in key.lower() for word in _OUTSIDE):
            yield (
                ("table", "properties", key),
                f"tenant '{tenant}' may not set where or how a table is stored",
            )
    if not isinstance(source, LocalSource):
        if not rules.may_read_bucket(source.url):
            message = may_not(f"read '{source.url}'", rules.buckets, "buckets")
            yield ("source", "url"), message
        return
    folder = local_folder(source, file)
    if not rules.may_read_folder(folder):
        real = os.path.realpath(folder)
        led = "" if real == folder else f", which leads to '{real}'"
        message = may_not(f"read '{folder}'{led}", rules.folders, "folders")
        yield ("source", "url"), message


def refused_of_connection(
    settings: "S3Settings", file: Path, tenant: str, rules: TenantRules
) -> Iterator[Refusal]:
    """What a connection of a tenant's own names and may not, each with its key."""
    for key in ("endpoint_url", "region", "access_key_id", "secret_access_key", "session_token"):
        value = getattr(settings, key)
        name = _variable(value)
        if name is not None and not rules.may_name_variable(name):
            listed = ", ".join(rules.variables) or "none"
            yield (
                (key,),
                f"tenant '{tenant}' may not use the variable {name}; its variables in "
                f"{TENANTS_FILE}: {listed}",
            )
        if isinstance(value, SecretRef) and value.kind == "file":
            path = file.parent / Path(value.where).expanduser()
            if not is_below(path, secret_folders(file, rules)):
                listed = ", ".join(rules.secret_folders) or "none"
                yield (
                    (key,),
                    f"tenant '{tenant}' may not use the file {value.where}; its secret_folders in "
                    f"{TENANTS_FILE}: {listed}",
                )
    if settings.profile is not None and settings.profile not in rules.profiles:
        listed = ", ".join(rules.profiles) or "none"
        yield (
            ("profile",),
            f"tenant '{tenant}' may not use this profile; its profiles in {TENANTS_FILE}: {listed}",
        )
    if not (settings.access_key_id or settings.profile or settings.anonymous):
        # Signed with the worker's own credentials, whose token would go to any endpoint.
        yield (
            ("access_key_id",),
            f"is missing; tenant '{tenant}' may not use the worker's own credentials. Write "
            "access_key_id and secret_access_key, or anonymous: true",
        )


def secret_folders(file: Path, rules: TenantRules) -> tuple[str, ...]:
    """The folders of a tenant's secrets; its own folder of specs is always one of them."""
    return (*rules.secret_folders, str(file.parent))


def local_folder(source: LocalSource, file: Path) -> str:
    """The folder of a local source, absolute; a relative one starts from the spec file's folder."""
    # Links stay as they are written: the path is the files' identity, and must not change when
    # 'current' points to another release.
    return os.path.normpath(file.absolute().parent / Path(source.url).expanduser())


def _variable(value: str | SecretRef | None) -> str | None:
    if isinstance(value, SecretRef):
        return value.where if value.kind == "env" else None
    match = ENV_REFERENCE.fullmatch(value) if value else None
    return match[1] if match else None
