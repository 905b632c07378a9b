"""What a difference between source, state and table means, in words for people."""

import shlex

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
            f"batch {d.batch_id} loaded {d.recorded_rows} rows, and the table has {d.rows} of them;"
            f" load it again: autoloader reload {name}{option}"
        )
    if d.kind == "double":
        return (
            f"{d.rows} rows of batch {d.batch_id} are too many in the table; take the file out by "
            f"'autoloader undo {name}', then {update} holds what is left against the state"
        )
    if d.kind == "unrecorded":
        return f"the table has {d.rows} rows of it by batch {d.batch_id}; {update} records them"
    if d.kind == "unknown":
        return (
            f"the table has {d.rows} rows of it by batch '{d.batch_id}', and neither the state nor "
            f"the source has this version; {update} records those that a batch of ours loaded"
        )
    return "loaded, and not in the source any more; its rows stay"
