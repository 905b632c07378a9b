"""What a pattern reads from a path."""

import time
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloader_dagster.specs.path_pattern import PathPattern


@pytest.mark.parametrize(
    ("pattern", "every", "path", "time"),
    [
        ("{MM}-{dd}-{yyyy}.csv", "day", "02-29-2020.csv", datetime(2020, 2, 29)),
        ("{MM}-{dd}-{yyyy}.csv", "day", "02-30-2020.csv", None),
        ("{MM}-{dd}-{yyyy}.csv", "day", "02-29-2021.csv", None),
        ("{MM}-{dd}-{yyyy}.csv", "day", "13-01-2020.csv", None),
        ("{MM}-{dd}-{yyyy}.csv", "day", "01-01-0000.csv", None),
        ("{MM}-{dd}-{yyyy}.csv", "day", "1-1-2020.csv", None),
        ("{MM}-{dd}-{yyyy}.csv", "day", "01-01-2020.csv.gz", None),
        ("{MM}-{dd}-{yyyy}.csv", "day", "a/01-01-2020.csv", None),
        ("{MM}-{dd}-{yyyy}.csv", "day", "01-01-2020xcsv", None),
        ("{MM}-{dd}-{yyyy}.csv", "day", "٠١-٠١-٢٠٢٠.csv", None),
        ("**/{MM}-{dd}-{yyyy}.csv", "day", "01-01-2020.csv", datetime(2020, 1, 1)),
        ("**/{MM}-{dd}-{yyyy}.csv", "day", "a/.hidden/_b/01-01-2020.csv", datetime(2020, 1, 1)),
        ("**/{MM}-{dd}-{yyyy}.csv", "day", "xx01-01-2020.csv", None),
        ("*/{yyyy}{MM}{dd}*", "day", ".hidden/20200101_x", datetime(2020, 1, 1)),
        ("*/{yyyy}{MM}{dd}*", "day", "a/b/20200101", None),
        ("*/{yyyy}{MM}{dd}*", "day", "a/20200101/b", None),
        ("{yyyy}/{MM}/x_{yyyy}{MM}{dd}.csv", "day", "2020/01/x_20200102.csv", datetime(2020, 1, 2)),
        ("{yyyy}/{MM}/x_{yyyy}{MM}{dd}.csv", "day", "2020/01/x_20200202.csv", None),
        ("{yyyy}/{MM}/**", "month", "2020/12/a/b.csv", datetime(2020, 12, 1)),
        ("{yyyy}-{MM}-{dd}", "month", "2020-12-05", datetime(2020, 12, 5)),
        ("{yyyy}{MM}{dd}T{HH}??Z", "hour", "20200102T0345Z", datetime(2020, 1, 2, 3)),
        ("{yyyy}{MM}{dd}T{HH}??Z", "hour", "20200102T2445Z", None),
        ("v[0-9]/{yyyy}{MM}{dd}", "week", "v7/20200102", datetime(2020, 1, 2)),
        ("v[0-9]/{yyyy}{MM}{dd}", "week", "vx/20200102", None),
        ("v[!0-9]{yyyy}{MM}{dd}", "day", "vx20200102", datetime(2020, 1, 2)),
        ("v[!0-9]{yyyy}{MM}{dd}", "day", "v/20200102", None),
        (r"a+(b)\{yyyy}{MM}{dd}", "day", r"a+(b)\20200102", datetime(2020, 1, 2)),
        ("region={region}/**", "day", "region=eu/x.csv", None),
        (
            "*_{yyyy}{MM}{dd}T*.json",
            "day",
            "21_CloudTrail_us-east-1_20230710T1145Z_7x.json",
            datetime(2023, 7, 10),
        ),
    ],
)
def test_the_time_in_a_path(pattern: str, every: str, path: str, time: datetime | None) -> None:
    assert PathPattern(pattern, every).time(path) == time


@pytest.mark.parametrize(
    ("pattern", "path", "key"),
    [
        ("region={region}/**", "region=eu/x.csv", "eu"),
        ("region={region}/**", "region=eu/a/b/.x", "eu"),
        ("region={region}/**", "region=/x.csv", None),
        ("region={region}/**", "region=eu", None),
        ("**/{site}.csv", "a/b/Köln 1.csv", "Köln 1"),
        ("{site}/{site}.csv", "a/a.csv", "a"),
        ("{site}/{site}.csv", "a/b.csv", None),
        ("{site}.csv", "line\nbreak.csv", "line\nbreak"),
        ("{yyyy}{MM}{dd}", "20200101", None),
    ],
)
def test_the_key_in_a_path(pattern: str, path: str, key: str | None) -> None:
    assert PathPattern(pattern, "day").key(path) == key


def test_a_pattern_says_whether_it_has_times_or_a_key() -> None:
    assert PathPattern("{yyyy}{MM}{dd}", "day").key_name is None
    assert PathPattern("{site}/**", "day").key_name == "site"


@pytest.mark.parametrize(
    ("pattern", "proposal"),
    [
        ("{year}-{mm}", "{yyyy}-{MM}"),
        ("{YYYY}/{month}/{DD}/*.csv", "{yyyy}/{MM}/{dd}/*.csv"),
        ("{yyyy}-{mm}-{dd}.csv", "{yyyy}-{MM}-{dd}.csv"),
        ("{yyyy}{MM}{day}T{hh}", "{yyyy}{MM}{dd}T{HH}"),
    ],
)
def test_names_that_are_plainly_times_are_proposed_as_such(pattern: str, proposal: str) -> None:
    with pytest.raises(ValueError, match="not supported yet") as caught:
        PathPattern(pattern, "month")
    assert str(caught.value).endswith(f"; did you mean '{proposal}'?")


def test_names_that_are_no_times_get_no_proposal() -> None:
    with pytest.raises(ValueError, match=r"yet$"):
        PathPattern("{region}/{site}", "day")
    assert PathPattern("year={year}/**", "day").key_name == "year"


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("**a" * 8 + "{k}b", "a" * 1024),
        ("*a" * 8 + "{k}b", "a" * 1024),
        ("**/a/" * 8 + "{k}b", "a/" * 512),
        ("*{yyyy}*{MM}*{dd}*x", "20200101" * 128),
        ("{k}*a*a*a", "a" * 1023 + "b"),
    ],
)
def test_no_pattern_takes_a_path_of_its_choice_to_stop_the_process(pattern: str, path: str) -> None:
    chosen = PathPattern(pattern, "day")
    began = time.process_time()
    assert chosen.key(path) is None
    assert chosen.time(path) is None
    assert time.process_time() - began < 2


@given(
    st.lists(
        st.sampled_from(["*", "**", "**/", "/", "a", "b", "?", "[ab]", "[!a]"]), max_size=8
    ).flatmap(lambda parts: st.integers(0, len(parts)).map(lambda n: (parts[:n], parts[n:]))),
    st.text("ab/\n", max_size=12),
)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_both_ways_of_matching_find_the_same(parts: tuple[list[str], list[str]], path: str) -> None:
    pattern = PathPattern("{k}".join("".join(each) for each in parts), "day")
    match = pattern._regex.fullmatch(path)
    assert pattern._matcher.fields(path) == (match.groupdict() if match else None)


def test_too_many_wildcards_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 100 wildcards"):
        PathPattern("*a" * 101 + "{k}", "day")
    with pytest.raises(ValueError, match=r"\{k\} is in it twice, beside 4 wildcards"):
        PathPattern("{k}/*{k}*a*", "day")
    PathPattern("{yyyy}/{MM}/{dd}/*_{yyyy}{MM}{dd}_*.csv", "day")
