"""What commands print for people is the text itself, whatever a name holds."""

import pytest

from autoloader_dagster.cli.output import print_error, print_rows, say
from autoloader_dagster.errors import UsageError

_NAMES = ("[red]a[/red]", "[/]", ":smile:", "[link=x]y[/link]", "a\\\\", "[bold", "${x}")


def test_markup_and_emoji_codes_come_out_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    for name in _NAMES:
        say(name)
        print_rows([name], [[name]])
        print_error(UsageError(name, name))
        out, err = capsys.readouterr()
        assert (out.count(name), err.count(name)) == (3, 2), name


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31mb\x07\x85\u202e"
    say(name)
    print_rows([name], [[name]])
    print_error(UsageError(name, name))
    out, err = capsys.readouterr()
    assert out.count(r"a\x1b[31mb\x07\x85\u202e") == 3
    assert err.count(r"a\x1b[31mb\x07\x85\u202e") == 2
