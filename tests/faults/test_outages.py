"""Each server that a load needs is away for a day, one after the other, while files keep coming."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.catalogs import Catalogs
from tests.fixtures.s3 import S3Bucket
from tests.nets.outage_cases import HOUR, Step
from tests.nets.outage_files import File, Version
from tests.nets.outage_site import EVERY, Site, open_site
from tests.nets.outages import PAGES, Player

# After so many runs that failed, a set of files waits for an hour.
FAILED_RUNS = 8


@pytest.fixture
def site(
    catalogs: Catalogs, s3_bucket: S3Bucket, postgres_database_url: str, tmp_path: Path
) -> Iterator[Site]:
    catalog = catalogs.by_name["pglake"]
    with open_site(catalogs, catalog, s3_bucket, postgres_database_url, tmp_path) as opened:
        yield opened


def _away_for_a_day(server: str, month: int) -> list[Step]:
    half, fails = Step("passes", number=12 * HOUR), Step("fails", number=FAILED_RUNS)
    return [
        Step("arrives", f"2026-{month:02}-01-1.csv"), Step("away", server), Step("tick"),
        Step("arrives", f"2026-{month:02}-15-1.csv"), half, Step("tick"), fails, half, fails,
        Step("passes", number=EVERY), Step("tick"), Step("settles"),
    ]  # fmt: skip


def test_what_waits_through_an_outage_of_a_day_is_loaded_within_two_ticks(site: Site) -> None:
    steps = [Step("arrives", "2026-01-01-1.csv"), Step("tick"), Step("settles")]
    for month, server in enumerate(PAGES, start=2):
        steps += _away_for_a_day(server, month)
    player = Player(site)
    assert player.play(steps) == [], "\n".join(player.said)
    # What is not loaded is noticed.
    site.files["2026-05-05-1.csv"] = File([Version((999,), "")])
    assert site.wrong()
