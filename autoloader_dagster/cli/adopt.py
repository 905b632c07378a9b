"""``adopt``: give a renamed or moved spec the state of the name that it had before."""

from typing import Annotated

import typer

from autoloader_dagster.cli.amend import YesOption, confirmed
from autoloader_dagster.cli.files import Name
from autoloader_dagster.cli.orphans import spec_named
from autoloader_dagster.cli.output import JsonOption, print_json, say
from autoloader_dagster.cli.project import open_ingestion, open_specs
from autoloader_dagster.counts import counted
from autoloader_dagster.settings import load_settings


def adopt(
    name: Name,
    old: Annotated[
        str, typer.Option("--from", metavar="OLD", help="The name before, or tenant/name.")
    ],
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Hand the state of a spec's old name over to it; without --yes only say what.

    Example: autoloader adopt orders_eu --from orders
    """
    from autoloader_dagster.loading.recovery.ownership import adopt as hand_over

    settings = load_settings()
    specs = open_specs(settings)
    ingestion = open_ingestion(spec_named(specs, settings, name), specs, settings)
    try:
        plan = hand_over(ingestion, old, unread=specs.unread)
        counts = (
            f"{counted(plan.state.files, 'file')} and "
            f"{counted(plan.state.batches, 'batch', 'batches')}"
        )
        if confirmed(yes, as_json, f"Hand {counts} of {plan.old} over to {plan.new}?"):
            plan = hand_over(ingestion, old, unread=specs.unread, dry_run=False)
    finally:
        ingestion.store.close()
    if as_json:
        print_json(
            {
                "from": plan.old,
                "to": plan.new,
                "table": plan.table,
                "files": plan.state.files,
                "batches": plan.state.batches,
                "tables": list(plan.state.tables),
                "done": plan.done,
            }
        )
    elif plan.done:
        say(f"{counts} of {plan.old} belong to {plan.new} now")
    else:
        say(f"{counts} of {plan.old} would belong to {plan.new}; --yes does it")
