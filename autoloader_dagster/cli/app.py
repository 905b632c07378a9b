"""The ``autoloader`` command: its commands, and what each error means for the exit code.

Exit codes: 0 done; 1 something is wrong with the data or a spec; 2 wrong usage or environment;
130 interrupted; 141 the reader of stdout has ended. Errors are one or two lines on stderr; with
AUTOLOADER_DEBUG=1 the traceback too.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Annotated

import typer

from autoloader_dagster import errors, failpoints
from autoloader_dagster.cli import (
    adopt,
    demo,
    dismiss,
    doctor,
    files,
    query,
    reconcile,
    reload,
    retry,
    run,
    spark,
    specs,
    state,
    trace,
    undo,
    unused_files,
    up,
)
from autoloader_dagster.cli.machine_errors import machine_error
from autoloader_dagster.cli.output import is_utf_8, print_error, say, screen
from autoloader_dagster.cli.streams import ReaderGone, standard_streams
from autoloader_dagster.spark.errors import known as spark_error

app = typer.Typer(
    name="autoloader",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        say(f"autoloader_dagster {metadata.version('autoloader_dagster')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Files dropped into buckets become partitioned Iceberg tables, each file exactly once."""


app.command()(demo.demo)
app.command()(up.up)
app.command()(specs.validate)
app.command("list")(specs.list_specs)
app.command("files")(files.files)
app.command()(files.preview)
app.command()(run.run)
app.command()(retry.retry)
app.command()(dismiss.dismiss)
app.command()(undo.undo)
app.command()(reload.reload)
app.command()(reconcile.reconcile)
app.command("unused")(unused_files.unused_files_of_tables)
app.command()(adopt.adopt)
app.command()(state.status)
app.command()(state.history)
app.command()(trace.trace)
app.command()(query.query)
app.command()(doctor.doctor)
app.add_typer(state.db, name="db")
app.add_typer(spark.spark, name="spark")

_INTERRUPTED = 130
# What a shell reports for a program that a broken pipe ended.
_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    with standard_streams():
        code = _reported(lambda: _run(arguments))
        # Also after an error, because what was printed before it is still to be written.
        unwritten = _reported(_flush)
        if unwritten == _BROKEN_PIPE or code == 0:
            code = unwritten
        if code == _INTERRUPTED:
            sys.stderr.flush()
            # Python would first wait for the threads, and one may wait for a server that hangs.
            os._exit(_INTERRUPTED)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    failpoints.arm_from(os.environ)
    # Some terminals have no width yet. Rich would print nothing at a width of 0.
    if not os.environ.get("COLUMNS", "1").strip("0"):
        del os.environ["COLUMNS"]
    try:
        code = app(args=arguments, prog_name="autoloader", standalone_mode=False)
    except UnicodeEncodeError as error:
        given = sys.argv[1:] if arguments is None else arguments
        if wrong := next((each for each in given if not is_utf_8(each)), None):
            raise errors.UsageError(
                f"the argument {wrong!a} is not UTF-8", "Write it in UTF-8."
            ) from error
        raise
    return code if isinstance(code, int) else 0


def _flush() -> int:
    sys.stdout.flush()
    return 0


def _reported(call: Callable[[], int]) -> int:
    """The exit code of the call; an error of it is printed."""
    try:
        code = call()
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except ReaderGone:
        return _BROKEN_PIPE
    except errors.AutoloaderError as error:
        _show_traceback()
        print_error(error)
        return errors.exit_code(error)
    except typer.TyperException as error:
        # Wrong usage, found by Typer, which words it well. The class that has 'show' is not public.
        error.show()  # pyright: ignore[reportAttributeAccessIssue]
        return 2
    except Exception as error:
        _show_traceback()
        unexpected = machine_error(error) or spark_error(error) or _our_fault(error)
        print_error(unexpected)
        return 2
    if code == _INTERRUPTED:
        # Typer makes this of Ctrl-C in a command, without a word.
        screen(stderr=True).print("interrupted")
    return code


def _our_fault(error: Exception) -> errors.AutoloaderError:
    return errors.AutoloaderError(
        f"unexpected {type(error).__name__}: {error}",
        "This is a fault of autoloader_dagster. AUTOLOADER_DEBUG=1 shows where; please report.",
    )


def _show_traceback() -> None:
    # Not in Settings, for reading these may be what failed.
    if os.environ.get("AUTOLOADER_DEBUG"):
        traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main())
