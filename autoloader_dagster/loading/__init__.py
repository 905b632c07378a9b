"""The heart: discover, plan, load, recover. It knows no Dagster."""
