"""What a tick asks for, by what became of the runs that were asked for before."""

import uuid

import dagster as dg

from autoloader_dagster.loading.discover import discover
from autoloader_dagster.loading.plan import plan_runs
from autoloader_dagster.orchestration.planning import run_requests
from tests.fixtures.lake import Lake, write_ids


def test_a_pending_set_is_asked_for_again_however_many_runs_have_failed(lake: Lake) -> None:
    ingestion = lake.ingestion("outage")
    write_ids(lake.folder(), "1.csv", 1)
    discover(ingestion)
    keys: set[str | None] = set()
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(30):
            (request,), waiting = run_requests(ingestion, instance, plan_runs(ingestion))
            assert not waiting
            assert request.run_key not in keys
            # The same tick twice asks for one run.
            ((again,), _) = run_requests(ingestion, instance, plan_runs(ingestion))
            assert again.run_key == request.run_key
            keys.add(request.run_key)
            instance.add_run(
                dg.DagsterRun(
                    job_name="outage",
                    run_id=str(uuid.uuid4()),
                    status=dg.DagsterRunStatus.FAILURE,
                    tags=request.tags,
                )
            )
