"""Names that make programs stumble, for files, folders, keys, headers, JSON keys and columns.

``TEXTS`` may be part of any name. ``file_names`` and ``object_keys`` turn them into paths, beside
each of which there is a twin that a careless reader would take for the same file.
"""

# A variable of this name is in the environment of the tests' processes; its value must not show.
CANARY_VARIABLE = "HOSTILE_CANARY"
CANARY = "canary-7f3a9c-must-not-show"

TEXTS: tuple[str, ...] = (
    # Substitution, shells, templates.
    f"${{env:{CANARY_VARIABLE}}}", "${spark.app.name}", "${env:SPARK_CONNECT_AUTHENTICATE_TOKEN}",
    "${system:user.home}", f"${CANARY_VARIABLE}", "$(id)", "`id`", "{{ 7*7 }}", "%(name)s", "{0}",
    "%s %d", "#{x}",
    # SQL and quotes.
    "'; drop table t; --", "a'b", 'a"b', "a`b", "a``b", "''", '""', "a\\b", "a\\", "\\", "\\u0041",
    "\\'", "--", "/*", ";", "x; y", "a,b", "null", "select", "1", "-1", "a.b", "a..b", "...", "*",
    # Globs.
    "a*", "a?", "[ab]", "a[1]", "{a,b}", "a{x", "!a", "**", "~", "^a",
    # Addresses and their encodings.
    "a%2Fb", "%2e%2e", "%2e%2e%2fa", "100%", "%", "%zz", "%00", "a+b", "a b", "a%20b", "a#b",
    "a&b=c", "a=b", "x=1", "a@b", "a|b", "<a>", "a;b",
    # Markup of terminals and pages.
    "[red]a[/red]", "[/]", "[bold", ":smile:", "<script>alert(1)</script>", "[link=x]y[/link]",
    "&amp;",
    # Unicode: joiners, invisible, right to left, private use, twins of normal forms, wide, new.
    "team \U0001f469\u200d\U0001f4bb", "so\u00adft", "a\u200bb", "a\u2060b", "\ufeffbom",
    "\u202egnp.exe", "\u05d0\u05d1", "\ue000private", "\U000f0000plane15", "\U0010fffe",
    "\ufffe", "\U0001fae8new", "\U0001fadf", "caf\u00e9", "cafe\u0301", "\u212b", "\u00c5",
    "\uff21", "\u0130i", "\u00dfss", "\u017f", "\U0001d538", "a\u00a0b", "a\u2003b", "a\u3000b",
    "\u2028x", "\u1680", "\u180e", "\u034f", "\ufff9",
    # Windows names.
    "CON", "nul", "aux.txt", "com1",
    # Blanks and dots at the ends; what Spark or Hadoop hides.
    " lead", "trail ", "trail.", "trail..", ".hidden", "..hidden", "_under", "_SUCCESS",
    "_metadata", "a._COPYING_", ".", "..",
)  # fmt: skip

# Not for every place: stores and formats refuse some of them.
CONTROLS = (
    "tab\there",
    "line\nbreak",
    "cr\rhere",
    "esc\x1b[31mred",
    "bell\x07",
    "c1\x85here",
    "del\x7f",
)


def _unique(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


def file_names(suffix: str) -> list[str]:
    """Paths below a local folder, each of which a file system takes."""
    names = []
    for text in TEXTS:
        part = text.replace("/", "\u2215")
        names.append(f"{part}{suffix}")
        if part not in (".", ".."):
            names.append(f"{part}/x{suffix}")
    long = "\u00fc" * ((255 - len(suffix)) // 2)
    names += [f"{long}{suffix}", f"{long[:-1]}x{suffix}", f"a:b{suffix}", f"a:b/c{suffix}"]
    names += [f"{'d' * 200}/{'e' * 200}/x{suffix}", "no_suffix", f"x{suffix}", f"b{suffix}"]
    return _unique(names)


def object_keys(suffix: str) -> list[str]:
    """Keys below a prefix; an object store takes parts that no file system has.

    Few, because Spark asks a store several times for each: a key has four of the texts.
    """
    texts = [text for text in TEXTS if text.strip(".")]
    keys = ["-".join(texts[i : i + 4]) + suffix for i in range(0, len(texts), 4)]
    keys += [
        f"{text}{suffix}" for text in (".hidden", "_under", "trail ", "caf\u00e9", "cafe\u0301")
    ]
    keys += [f"{text}/x{suffix}" for text in (".hidden", "_under", " ", "trail.", "[a]*?", "x")]
    for path in (
        "../private/salaries", "..", "./dot", "sub/../x", "sub/./b", "a/b/../../x", "/x", "sub//b",
        "//x", "sub/../../private/salaries", "sub/..", "sub/.", "%2e%2e/private/salaries",
        "..%2fprivate%2fsalaries", "sub/", "..\\private\\salaries", "c:\\x", "s3://b/x", "a:/x",
    ):  # fmt: skip
        keys.append(f"{path}{suffix}")
    keys += [f"x{suffix}", f"b{suffix}", f"sub/b{suffix}", "\u00fc" * 400 + suffix]
    # With content it is no marker of a folder.
    keys.append(f"like-a-folder{suffix}/")
    return _unique(keys)
