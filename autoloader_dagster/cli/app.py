"""The ``autoloader`` command: its commands, and what each error means for the exit code.

Exit codes: 0 done; 1 something is wrong with the data or a spec; 2 wrong usage or environment;
130 interrupted. Errors are one or two lines on stderr; with AUTOLOADER_DEBUG=1 the traceback too.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

import typer

from autoloader_dagster import errors
from autoloader_dagster.cli import (
    adopt,
    demo,
    doctor,
    files,
    query,
    reconcile,
    retry,
    run,
    spark,
    specs,
    state,
    trace,
    undo,
    up,
)
from autoloader_dagster.cli.output import print_error, screen

app = typer.Typer(
    name="autoloader",
    help="Files dropped into buckets become partitioned Iceberg tables, each file exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(up.up)
app.command()(specs.validate)
app.command("list")(specs.list_specs)
app.command("files")(files.files)
app.command()(files.preview)
app.command()(run.run)
app.command()(retry.retry)
app.command()(undo.undo)
app.command()(reconcile.reconcile)
app.command()(adopt.adopt)
app.command()(state.status)
app.command()(state.history)
app.command()(trace.trace)
app.command()(query.query)
app.command()(doctor.doctor)
app.add_typer(state.db, name="db")
app.add_typer(spark.spark, name="spark")

_ENVIRONMENT = (
    errors.UsageError,
    errors.SourceAccessDenied,
    errors.SourceUnavailable,
    errors.StateError,
    errors.SparkError,
    errors.TableUnavailable,
)
_INTERRUPTED = 130
# What a shell reports for a program that a broken pipe ended.
_BROKEN_PIPE = 141


def exit_code(error: type[BaseException]) -> int:
    """2 if the usage or the environment is to blame, 1 if the data or a spec is."""
    if issubclass(error, _ENVIRONMENT) or not issubclass(error, errors.AutoloaderError):
        return 2
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    try:
        code = app(args=arguments, prog_name="autoloader", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except errors.AutoloaderError as error:
        _show_traceback()
        with suppress(BrokenPipeError):
            print_error(error)
        return exit_code(type(error))
    except typer.TyperException as error:
        # Wrong usage, found by Typer, which words it well. The class that has 'show' is not public.
        error.show()  # pyright: ignore[reportAttributeAccessIssue]
        return 2
    except Exception as error:
        _show_traceback()
        unexpected = errors.AutoloaderError(
            f"unexpected {type(error).__name__}: {error}",
            "This is a fault of autoloader_dagster. AUTOLOADER_DEBUG=1 shows where; please report.",
        )
        print_error(unexpected)
        return 2
    if code == _INTERRUPTED:
        # Typer makes this of Ctrl-C in a command, without a word.
        screen(stderr=True).print("interrupted")
        # Python would first wait for the threads, and one may wait for a server that hangs.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_INTERRUPTED)
    return code if isinstance(code, int) else 0


def _show_traceback() -> None:
    # Not in Settings, for reading these may be what failed.
    if os.environ.get("AUTOLOADER_DEBUG"):
        traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main())
