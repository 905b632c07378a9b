"""What each tenant may name, from ``_tenant.yaml`` at the root of the specs.

The file is the operator's, and so are the specs at the root: they are not limited by it. Without
the file every spec may name everything, and all tenants are one trust domain. With it, what a
tenant's spec or connection names is allowed there or is refused.
"""

import fnmatch
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from autoloader_dagster.specs.dagster_names import BROKEN_SPECS, DEFAULT_TENANT
from autoloader_dagster.specs.fault import SpecFault, shown_path
from autoloader_dagster.specs.file_names import misnamed
from autoloader_dagster.specs.plain_words import faults_of
from autoloader_dagster.specs.registry import source_of_address
from autoloader_dagster.specs.section import SpecModel
from autoloader_dagster.specs.values import IDENTIFIER
from autoloader_dagster.specs.yaml_document import Document, read_document

TENANTS_FILE = "_tenant.yaml"

# Dagster knows the files of each spec by keys that begin with the first.
_RESERVED = ("source", BROKEN_SPECS)


class TenantRules(SpecModel):
    """What one tenant may name. What is not listed is refused."""

    namespaces: tuple[str, ...] = Field(
        default=(),
        description="Namespaces with their catalog, such as lake.acme, that this tenant alone "
        "writes. The namespaces below them belong to it too.",
    )
    buckets: tuple[str, ...] = Field(
        default=(), description="Buckets, or prefixes in them, that it may read: s3://in/acme/."
    )
    folders: tuple[str, ...] = Field(
        default=(), description="Absolute folders that it may read, with all that is below them."
    )
    variables: tuple[str, ...] = Field(
        default=(),
        description="Environment variables that its connections may name, as ACME_KEY or ACME_*.",
    )
    secret_folders: tuple[str, ...] = Field(
        default=(),
        description="Absolute folders whose files its connections may name as secrets, beside the "
        "tenant's own folder of specs.",
    )
    profiles: tuple[str, ...] = Field(
        default=(), description="Profiles of the AWS configuration that its connections may name."
    )
    follow_links: bool = Field(
        default=False,
        description="Whether links in its folders are followed, if they lead into its folders.",
    )
    max_specs: int = Field(
        default=2_000,
        ge=1,
        description="How many spec files its folder may have. Those after them, by name, are not "
        "read and are shown as broken.",
    )

    @field_validator("namespaces")
    @classmethod
    def _are_namespaces(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            parts = name.split(".")
            if len(parts) < 2 or not all(IDENTIFIER.fullmatch(part) for part in parts):
                raise ValueError(f"'{name}' is not catalog.namespace, such as lake.acme")
            if parts[1] in _RESERVED:
                raise ValueError(f"'{parts[1]}' is a name of Dagster's assets here; choose another")
        return value

    @field_validator("buckets")
    @classmethod
    def _are_buckets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            kind = source_of_address(url)
            canonical = kind is not None and url.startswith(f"{kind.schemes[0]}://")
            if not canonical or not re.fullmatch(r"[^/]*//[^/]+(/.*)?", url) or _has_dots(url):
                raise ValueError(f"'{url}' is not a bucket or a prefix, such as s3://in/acme/")
        return value

    @field_validator("folders", "secret_folders")
    @classmethod
    def _are_folders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for folder in value:
            if not folder.startswith("/") or os.path.normpath(folder) == "/":
                raise ValueError(f"'{folder}' is not an absolute folder, such as /data/acme")
        return value

    @field_validator("variables")
    @classmethod
    def _are_variables(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*\*?", name):
                raise ValueError(f"'{name}' is not a variable such as ACME_KEY, or ACME_*")
        return value

    def owns(self, table: str) -> bool:
        """Whether a table, ``catalog.namespace.table``, is in one of the namespaces."""
        return any(table.startswith(f"{name}.") for name in self.namespaces)

    def may_read_bucket(self, url: str) -> bool:
        """Whether an address ``s3://bucket/prefix`` is one of the buckets, or below one."""
        wanted = f"{url.rstrip('/')}/"
        return not _has_dots(url) and any(
            wanted.startswith(f"{allowed.rstrip('/')}/") for allowed in self.buckets
        )

    def may_read_folder(self, folder: str) -> bool:
        """Whether a folder is one of the folders or below one, wherever its links lead."""
        return is_below(folder, self.folders)

    def may_not(self, tenant: str, what: str, by: str) -> str:
        """Why something is refused, in words.

        Args:
            tenant: Whose rules these are.
            what: What is refused, as ``write 'lake.beta.orders'``.
            by: The rule that would allow it.
        """
        listed = ", ".join(getattr(self, by)) or "none"
        return f"tenant '{tenant}' must not {what}; its {by} in {TENANTS_FILE}: {listed}"

    def may_name_variable(self, name: str) -> bool:
        """Whether a variable is one of the variables."""
        return any(fnmatch.fnmatchcase(name, allowed) for allowed in self.variables)


@dataclass(frozen=True)
class Fence:
    """Where the local files of a tenant may be.

    Attributes:
        tenant: Its name, for messages.
        folders: With all that is below them.
        follow_links: Whether links that lead into the folders are followed.
    """

    tenant: str
    folders: tuple[str, ...]
    follow_links: bool = False


def is_below(path: str | Path, folders: tuple[str, ...]) -> bool:
    """Whether a path is one of these folders or in one, with the links of both resolved."""
    real = os.path.realpath(path)
    roots = [os.path.realpath(folder).rstrip("/") for folder in folders]
    return any(real == root or real.startswith(f"{root}/") for root in roots)


def _has_dots(url: str) -> bool:
    return any(part in ("", ".", "..") for part in url.rstrip("/").split("/")[3:])


@dataclass(frozen=True)
class Tenants:
    """What a ``_tenant.yaml`` says.

    Attributes:
        file: The file; None if there is none.
        rules: Of each tenant whose entry is whole.
        faults: What is wrong with the file.
    """

    file: Path | None = None
    rules: Mapping[str, TenantRules] = field(default_factory=dict)
    faults: tuple[SpecFault, ...] = ()

    def of(self, tenant: str) -> TenantRules | None:
        """The rules of a tenant; None if it is not limited.

        A tenant without a good entry may name nothing.
        """
        if self.file is None or tenant == DEFAULT_TENANT:
            return None
        return self.rules.get(tenant, TenantRules())

    def knows(self, tenant: str) -> bool:
        """Whether there is no file, or the tenant has a good entry in it."""
        return self.file is None or tenant == DEFAULT_TENANT or tenant in self.rules


def load_tenants(specs_dir: Path, folders: list[str]) -> Tenants:
    """Read ``_tenant.yaml``; what is wrong with it becomes faults, and its tenants get no rights.

    Args:
        specs_dir: The folder of the specs.
        folders: The tenants' folders, which must have no such file themselves.
    """
    file = specs_dir / TENANTS_FILE
    own = [
        found
        for name in folders
        for found in (specs_dir / name / TENANTS_FILE, *misnamed(specs_dir / name, TENANTS_FILE))
    ]
    misplaced = [
        SpecFault(
            each,
            None,
            "",
            f"has no effect; only {shown_path(file)} allows anything, and it is the operator's",
        )
        for each in own
        if os.path.lexists(each)
    ]
    wrong = [
        SpecFault(
            each,
            None,
            "",
            f"is not read, and no tenant may use anything; rename it to {TENANTS_FILE}, "
            "or remove it",
        )
        for each in misnamed(specs_dir, TENANTS_FILE)
    ]
    if wrong:
        # It was meant as a boundary.
        return Tenants(wrong[0].file, {}, (*wrong, *misplaced))
    if not os.path.lexists(file):
        return Tenants(faults=tuple(misplaced))
    document = read_document(file)
    faults = [*document.faults]
    if document.data is not None and not isinstance(document.data, dict):
        faults.append(
            document.fault((), "is not a list of tenants; write 'acme: {namespaces: [lake.acme]}'")
        )
    if faults:
        return Tenants(file, {}, (*faults, *misplaced))
    rules: dict[str, TenantRules] = {}
    for name, entry in (document.data or {}).items():
        found = _entry(document, name, entry)
        if isinstance(found, TenantRules):
            rules[name] = found
        else:
            faults.extend(found)
    for name, message in _overlaps(rules):
        faults.append(document.fault((name, "namespaces"), message))
    disputed = {fault.key.split(".")[0] for fault in faults}
    good = {name: each for name, each in rules.items() if name not in disputed}
    return Tenants(file, good, (*faults, *misplaced))


def _entry(document: Document, name: str, entry: Any) -> TenantRules | list[SpecFault]:
    if name == DEFAULT_TENANT:
        message = "names the specs at the root, which are the operator's and not limited; remove it"
        return [document.fault((name,), message)]
    if not IDENTIFIER.fullmatch(name) or "__" in name:
        # Joined by '__', the names of two tenants' sensors could be the same.
        message = f"'{name}' is not a name in lower-case letters, digits and single _"
        return [document.fault((), message, at=(name,))]
    if not isinstance(entry, dict):
        return [document.fault((name,), "is not a section; keys go below it, such as namespaces")]
    try:
        return TenantRules.model_validate(entry)
    except ValidationError as error:
        return faults_of(error, TenantRules, document, below=(name,))


def _overlaps(rules: Mapping[str, TenantRules]) -> list[tuple[str, str]]:
    """Tenants whose namespaces meet: each table has one owner, and so has each Dagster asset."""
    # Without the catalog, which is no part of an asset's key, and joined as Dagster joins a key for
    # the name of a node.
    owned = [
        (tenant, name, f"{name.split('.', 1)[1].replace('.', '__')}__")
        for tenant, each in rules.items()
        for name in each.namespaces
    ]
    return [
        (tenant, f"'{name}' and '{other_name}' of tenant '{other}' meet; each has one owner")
        for tenant, name, place in owned
        for other, other_name, other_place in owned
        if tenant != other and (place.startswith(other_place) or other_place.startswith(place))
    ]
