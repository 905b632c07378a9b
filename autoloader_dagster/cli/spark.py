"""``spark start|stop|status``: the embedded Spark Connect server."""

import typer

from autoloader_dagster.cli.output import JsonOption, print_json, progress, say
from autoloader_dagster.errors import UsageError
from autoloader_dagster.settings import Settings, load_settings, without_parameters

spark = typer.Typer(help="The embedded Spark server.", no_args_is_help=True)


@spark.command()
def start() -> None:
    """Start the embedded server, if it does not run.

    Example: autoloader spark start
    """
    from autoloader_dagster.spark.server.embedded import EmbeddedServer

    settings = _embedded(load_settings())
    with progress() as tell:
        tell("start the embedded Spark server")
        address = EmbeddedServer(settings, tell.download).ensure()
    say(f"the embedded Spark server runs at {address.url} (process {address.pid})")
    say(f"it stops by itself after {settings.spark_idle_seconds:.0f} s without use")


@spark.command()
def stop() -> None:
    """Stop the embedded server, whoever uses it.

    Example: autoloader spark stop
    """
    from autoloader_dagster.spark.server.embedded import EmbeddedServer

    with progress() as tell:
        tell("stop the embedded Spark server")
        stopped = EmbeddedServer(load_settings()).stop()
    say("the embedded Spark server was stopped" if stopped else "there was none running")


@spark.command()
def status(as_json: JsonOption = False) -> None:
    """Show whether the embedded server runs, and where its log is.

    Example: autoloader spark status --json
    """
    from autoloader_dagster.spark.server.embedded import EmbeddedServer

    settings = load_settings()
    found = EmbeddedServer(settings).status()
    if as_json:
        print_json(
            {
                "state": found.state,
                "url": found.address.url if found.address else None,
                "pid": found.address.pid if found.address else None,
                "in_use": found.in_use,
                "log": str(found.log),
                "spark_remote": _without_token(settings.spark_remote),
            }
        )
        return
    where = f" at {found.address.url} (process {found.address.pid})" if found.address else ""
    say(f"embedded Spark server: {found.state}{where}{', in use' if found.in_use else ''}")
    say(f"log: {found.log}")
    if settings.spark_remote:
        say(f"SPARK_REMOTE is set, so {_without_token(settings.spark_remote)} is used instead")


def _embedded(settings: Settings) -> Settings:
    if settings.spark_remote:
        raise UsageError(
            f"SPARK_REMOTE is {_without_token(settings.spark_remote)}, so the embedded server "
            "would not be used",
            "Unset it to use the embedded server.",
        )
    return settings


def _without_token(remote: str | None) -> str | None:
    return without_parameters(remote) if remote else None
