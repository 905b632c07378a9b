"""What a difference between source, state and table means, in words for people."""

import shlex

from autoloader_dagster.counts import counted
from autoloader_dagster.state.records import Difference


def advice(difference: Difference, name: str) -> str:
    """What a difference means and how to correct it, for people.

    Args:
        difference: The difference.
        name: The ingestion's name, for the commands.
    """
    d = difference
    update = f"'autoloader reconcile {name} --yes'"
    if d.kind == "missing":
        return (
            f"loaded by batch {d.batch_id}, and the table has no row of it; {update} requeues it; "
            "if main was rolled back, the file becomes UNDONE, and 'autoloader retry "
            f"{name} FILE' loads it"
        )
    if d.kind == "fewer":
        option = f" --partition {shlex.quote(d.partition_key)}" if d.partition_key else ""
        return (
            f"batch {d.batch_id} loaded {counted(d.recorded_rows or 0, 'row')}, and the table has "
            f"{d.rows} of them;"
            f" load it again: autoloader reload {name}{option}"
        )
    if d.kind == "double":
        return (
            f"the table has {counted(d.rows, 'row')} of batch {d.batch_id} too many; take the file "
            f"out by 'autoloader undo {name}', then {update} holds what is left against the state"
        )
    if d.kind == "unrecorded":
        return (
            f"the table has {counted(d.rows, 'row')} of it by batch {d.batch_id}; "
            f"{update} records them"
        )
    if d.kind == "unknown" and not d.path:
        return (
            f"the table has {counted(d.rows, 'row')} by batch '{d.batch_id}' without a file in "
            "_source_file, so nothing tells what they are; if a person wrote them, they may stay"
        )
    if d.kind == "unknown":
        return (
            f"the table has {counted(d.rows, 'row')} of it by batch '{d.batch_id}', and neither "
            "the state nor "
            f"the source has this version; {update} records those that a batch of ours loaded"
        )
    return (
        "loaded, and the source does not list it any more: it is gone, or the spec leaves it out "
        "now; its rows stay"
    )
