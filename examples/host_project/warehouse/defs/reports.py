"""Assets of the project that read tables which the mounts load."""

import dagster as dg


@dg.asset(
    deps=[["raw", "example_shop", "orders"]],
    # In a run of its own after each load. 'eager' would wait for days that have no file.
    automation_condition=dg.AutomationCondition.any_deps_updated(),
    # The Spark of the mount 'shop'. The project's own 'spark_connect' is something else.
    required_resource_keys={"spark_connect_shop", "spark_connect"},
)
def revenue(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """The sum over all orders."""
    with context.resources.spark_connect_shop.session() as spark:
        (row,) = spark.sql(
            "SELECT count(*) AS orders, CAST(sum(amount) AS double) AS revenue "
            "FROM lake.example_shop.orders"
        ).collect()
    return dg.MaterializeResult(
        metadata={
            "orders": row["orders"],
            "revenue": row["revenue"],
            "currency": context.resources.spark_connect.currency,
        }
    )
