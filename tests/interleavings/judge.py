"""Says what is wrong once all actors have ended and a run has settled what they left behind.

The rows come from the twin's own snapshots and the state from plain SQL; none of the loading code
has a say in it.
"""

from collections import Counter, defaultdict

from autoloader_dagster.errors import (
    AutoloaderError,
    StateError,
)
from autoloader_dagster.iceberg.history import BATCH_PROPERTY
from tests.interleavings.world import TABLE, TwinSource, World

# What no version may be once everything is settled.
_UNSETTLED = ("DISCOVERED", "PROCESSING", "FAILED", "HELD")
# What people do; then their word is the last one on what is loaded.
_BY_HAND = ("roll back",)


def judge(world: World, kinds: dict[str, str]) -> list[str]:
    """What is wrong, a sentence each; empty if nothing is.

    Args:
        world: After the end.
        kinds: What each actor was.
    """
    wrong = _errors(world)
    data = world.lake.tables.get(TABLE)
    main = data.main() if data else []
    rows = main[0].rows if main else {}
    files = world.select(
        "select file_path, file_version, status, batch_id, snapshot_id, rows, "
        "reason from processed_files order by id"
    )
    batches = {
        row[0]: row[1:] for row in world.select("select id, status, snapshot_id, kind from batches")
    }
    loaded: dict[str, list[str]] = defaultdict(list)
    status_of: dict[tuple[str, str], str] = {}
    accounted: set[tuple[str, str]] = set()
    for path, version, status, batch, _, records, why in files:
        status_of[path, version] = status
        if status in _UNSETTLED:
            wrong.append(f"{version} is {status}: {why}")
        if status != "SUCCESS":
            continue
        loaded[path].append(version)
        accounted.add((batch, path))
        there = Counter(
            each
            for key, ids in rows.items()
            if (key.batch_id, key.path) == (batch, path)
            for each in ids
        )
        if there != Counter(TwinSource.ids_of(version)):
            wrong.append(f"{version} is SUCCESS, and the table has {sorted(there.elements())}")
        if records != there.total():
            wrong.append(f"{version} is recorded with {records} rows")
    for key, ids in rows.items():
        if (key.batch_id, key.path) not in accounted:
            wrong.append(f"the table has {ids} of {key.path}, which the state has not as loaded")
    every = Counter(each for ids in rows.values() for each in ids)
    wrong += [
        f"row {each} is {times} times in the table" for each, times in every.items() if times > 1
    ]
    wrong += _batches(main, batches)
    wrong += _policy(world, loaded, status_of, kinds)
    return wrong


def agreement(world: World) -> list[str]:
    """What is wrong with the state's word that it agrees with main; nobody may be at work.

    A load on top of its own ingestion's last one trusts that word, and does not read main.
    """
    data = world.lake.tables.get(TABLE)
    state = world.store.tables.get(TABLE, world.ingestion.id)
    if data is None or not state.agrees(data.uid, data.heads.get("main")):
        return []
    wrong = []
    on_main = {snap.id: snap.properties.get(BATCH_PROPERTY) for snap in data.main()}
    recorded = dict(world.select("select id, snapshot_id from batches where status = 'RECORDED'"))
    for batch in on_main.values():
        if batch is not None and batch not in recorded:
            wrong.append(f"state and main are said to agree, and {batch} of main is not recorded")
    for batch, snapshot in recorded.items():
        if snapshot in data.snapshots and snapshot not in on_main:
            wrong.append(f"state and main are said to agree, and {batch} was rolled back off main")
    return wrong


def _errors(world: World) -> list[str]:
    """What actors must not have said."""
    wrong = []
    for actor in world.hub.actors.values():
        error = actor.error
        if error is None or actor.killed:
            continue
        if not isinstance(error, AutoloaderError) or isinstance(error, StateError):
            wrong.append(f"actor {actor.name} said {type(error).__name__}: {error}")
    return wrong


def _batches(main: list, batches: dict) -> list[str]:
    wrong = []
    in_main = Counter(s.properties[BATCH_PROPERTY] for s in main if BATCH_PROPERTY in s.properties)
    wrong += [f"{batch} is {n} times in main" for batch, n in in_main.items() if n > 1]
    of_batch = {s.properties.get(BATCH_PROPERTY): s.id for s in main}
    for batch, (status, snapshot, kind) in batches.items():
        if status in ("CLAIMED", "WRITTEN"):
            wrong.append(f"the {kind} {batch} is {status}")
        if status == "RELEASED" and batch in of_batch:
            wrong.append(f"the {kind} {batch} is released, and main holds it")
        if status == "RECORDED" and batch in of_batch and of_batch[batch] != snapshot:
            wrong.append(f"the {kind} {batch} is recorded with another snapshot than main's")
    return wrong


def _policy(
    world: World,
    loaded: dict[str, list[str]],
    status_of: dict[tuple[str, str], str],
    kinds: dict[str, str],
) -> list[str]:
    """Whether what is loaded is what the policy, the source and the people say."""
    wrong = []
    undone = _undone_for_good(world, kinds)
    by_hand = any(kind in _BY_HAND for kind in kinds.values())
    undoes = any(kind.startswith("undo") for kind in kinds.values())
    for path, now in world.source.now.items():
        status = status_of.get((path, now.version))
        older = [v for v in loaded[path] if v != now.version]
        if status is None:
            wrong.append(f"{now.version} is in the source, and not known")
        elif status == "SUCCESS":
            if older and world.policy != "append":
                wrong.append(f"{now.version} is loaded beside {older}")
        elif status == "UNDONE":
            if not (undoes or by_hand or world.undone_before):
                wrong.append(f"{now.version} is UNDONE, and nobody asked for that")
        elif status in ("SKIPPED", "QUARANTINED"):
            if world.policy not in ("ignore", "fail") or (
                not older and not undoes and not by_hand and not world.undone_before
            ):
                wrong.append(f"{now.version} is {status}, and {older} loaded")
        elif not by_hand:
            wrong.append(f"{now.version} is {status}, and it is what the source has")
    for version in undone:
        path = f"/in/{version[0]}.csv"
        if version in loaded[path]:
            wrong.append(f"{version} was undone, and is loaded again")
    if world.policy == "append" and not by_hand:
        for path, known in world.source.versions.items():
            for ref in known:
                status = status_of.get((path, ref.version))
                if status == "REPLACED" and ref.version in world.loaded_before:
                    wrong.append(f"{ref.version} was loaded, and is REPLACED under append")
    return wrong


def _undone_for_good(world: World, kinds: dict[str, str]) -> set[str]:
    """The versions that an undo says it has taken out, unless somebody may have asked for them."""
    if any(kind in ("retry", "roll back") for kind in kinds.values()):
        return set()
    found: set[str] = set()
    for name, actor in world.hub.actors.items():
        if kinds[name].startswith("undo") and actor.result is not None and not actor.killed:
            by_id = dict(world.select("select id, file_version from processed_files"))
            found |= {by_id[file.file_id] for file in actor.result.files}
    return found
