"""Fixtures live in tests/fixtures, one module for each real service."""

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.s3",
    "tests.fixtures.spark",
    "tests.fixtures.catalogs",
    "tests.fixtures.lake",
    "tests.fixtures.project",
]
