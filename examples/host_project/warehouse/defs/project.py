"""What the whole project has in common: its executor and its resources."""

import dagster as dg


class Currency(dg.ConfigurableResource):
    """A resource of the project, which happens to have the name of one of the loader's."""

    currency: str


@dg.definitions
def project() -> dg.Definitions:
    return dg.Definitions(
        executor=dg.multiprocess_executor.configured({"max_concurrent": 2}),
        resources={"spark_connect": Currency(currency="EUR")},
    )
