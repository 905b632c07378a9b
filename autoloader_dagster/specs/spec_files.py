"""Finds the spec files of a folder: of each tenant no more than the operator allows it."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from autoloader_dagster.counts import counted
from autoloader_dagster.specs.dagster_names import DEFAULT_TENANT
from autoloader_dagster.specs.fault import SpecFault
from autoloader_dagster.specs.tenants import TENANTS_FILE, Tenants

_SUFFIXES = (".yaml", ".yml")
# Folders in a tenant's folder hold no specs. So many are looked into, to report their files.
_MOST_DEEPER = 100
# So many files beyond a tenant's limit are shown by name.
_NAMED_BEYOND = 20


def tenant_of(specs_dir: Path, file: Path) -> str:
    """The tenant that a spec file belongs to."""
    folders = file.relative_to(specs_dir).parts[:-1]
    return folders[0] if folders else DEFAULT_TENANT


def spec_files(specs_dir: Path) -> Iterator[Path]:
    """The spec files of a folder, then those of the folders in it, each sorted by name.

    Files too deep to belong to a tenant come too, to be reported: what is left out without a word
    would be missed only when its data is.

    Raises:
        OSError: The folder itself cannot be read.
    """
    files, folders = _entries(specs_dir)
    yield from files
    for folder in folders:
        waiting, looked_into = [folder], 0
        while waiting and looked_into <= _MOST_DEEPER:
            at = waiting.pop()
            looked_into += 1
            try:
                files, deeper = _entries(at)
            except OSError:
                yield at  # reading it as a file says what is wrong with it
                continue
            yield from files
            # Deeper down a link could lead round in circles.
            waiting += [each for each in reversed(deeper) if not each.is_symlink()]


def tenant_folders(specs_dir: Path) -> list[str]:
    """The names of the folders right below, whether or not they have specs.

    Raises:
        OSError: The folder itself cannot be read.
    """
    return [folder.name for folder in _entries(specs_dir)[1]]


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """The spec files and the folders in a folder, sorted by name."""
    with os.scandir(folder) as found:
        entries = sorted(
            (entry for entry in found if not entry.name.startswith(("_", "."))),
            key=lambda entry: entry.name,
        )
    folders = [entry.name for entry in entries if _is_folder(entry)]
    left_out = set(folders)
    files = [
        folder / entry.name
        for entry in entries
        if entry.name not in left_out and Path(entry.name).suffix.lower() in _SUFFIXES
    ]
    return files, [folder / name for name in folders]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, for example: reading it as a file shows what is wrong
        return False


def within_limits(
    specs_dir: Path, files: list[Path], tenants: Tenants
) -> tuple[list[Path], dict[str, list[Path]]]:
    """The files that are read, and by tenant those beyond what the tenant may have."""
    read: list[Path] = []
    count: dict[str, int] = defaultdict(int)
    beyond: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        tenant = tenant_of(specs_dir, file)
        rules = tenants.of(tenant)
        count[tenant] += 1
        if rules is None or count[tenant] <= rules.max_specs:
            read.append(file)
        else:
            beyond[tenant].append(file)
    return read, beyond


def faults_beyond(tenant: str, files: list[Path], tenants: Tenants) -> list[SpecFault]:
    """A fault of each file beyond the limit, or of the first ones; the last one has the count."""
    rules = tenants.of(tenant)
    limit = rules.max_specs if rules else 0
    named = files[:_NAMED_BEYOND]
    more = len(files) - len(named)
    faults = []
    for file in named:
        after = ""
        if more and file is named[-1]:
            after = f"; nor {'is' if more == 1 else 'are'} {counted(more, 'more file')} after it"
        message = (
            f"is not read, because tenant '{tenant}' has {limit + len(files):,} spec files and may "
            f"have {limit:,} (max_specs in {TENANTS_FILE}){after}"
        )
        faults.append(SpecFault(file, None, "", message))
    return faults
