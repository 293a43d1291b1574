"""A path, a module or an identifier in backticks in a document is in the tree."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from idp.paths import CHECKOUT
from tests.architecture.tree import shown
from tests.rows import each_row

_IGNORED = {line.rstrip("/") for line in CHECKOUT.joinpath(".gitignore").read_text(encoding="utf-8").split()}
_NO_SOURCE = {".md", ".po", ".lock", ".webp", ".ttf"}
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\s]+)`")
_PATH = re.compile(
    r"(?:idp|tests|templates|migrations|demo|deploy|bench|clients|docs|themes)/[\w/.-]+"
    r"|\w[\w.-]*/[\w/.-]*\.[a-z]+|[\w-]+\.(?:py|html|md|js|toml)"
)
_MADE = re.compile(r"`make ([\w-]+)([^`]*)`")
_NAME = re.compile(r"[^\W\d]\w*(?:\.\w+)*")
_HOME = re.compile(r"`([\w.]+)(?:\(\))?`,? (?:\(|in |of |dans |de )`([\w./-]+\.\w+)`")
_FOREIGN = {
    *("max_wal_size", "pg_auto_failover", "pg_lsclusters", "pg_trgm", "samehost", "shared_buffers"),  # PostgreSQL
    *("pipeline_flush", "runtime_mode", "runtime_threads", "task_impl"),  # psycopg and granian
    *("decode_json_fields", "imjournal", "mmjsonparse", "rsyslog"),  # collectors of logs
    *("auth_oauth2", "authorization_details", "certbot", "eval", "pam_loginuid"),
}
"""Names of other software and of specifications, which the service does not use."""
_OF_READERS = {"ent.py", "idp_perdue", "versions/NNNN_add_a_table_of_devices.py", "Worldline"}
"""Names that a document gives to what its reader makes or types."""


@cache
def files() -> tuple[Path, ...]:
    folders = (path for path in CHECKOUT.iterdir() if path.name == ".ci" or path.name[0] != ".")
    everything = (path for top in folders if top.name not in _IGNORED for path in (top, *top.rglob("*")))
    return tuple(path for path in everything if _IGNORED.isdisjoint(path.relative_to(CHECKOUT).parts))


@cache
def endings() -> frozenset[str]:
    parts = [path.relative_to(CHECKOUT).parts for path in files()]
    return frozenset("/".join(names[start:]) for names in parts for start in range(len(names)))


@cache
def words(path: Path) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", path.read_text(encoding="utf-8", errors="replace")))


@cache
def source() -> frozenset[str]:
    """Return the words of the tree, without documents, catalogues and revisions: the last name what is gone."""
    left_out = (CHECKOUT / "docs", CHECKOUT / "migrations" / "versions", Path(__file__))
    texts = (path for path in files() if path.is_file() and path.suffix not in _NO_SOURCE)
    return frozenset[str]().union(*(words(path) for path in texts if not any(map(path.is_relative_to, left_out))))


@cache
def of_make() -> str:
    """Return the targets of `make` and the options of what it starts, as text."""
    programs = (path for path in files() if path.suffix == ".py" and path.is_relative_to(CHECKOUT / "bench"))
    return '"--help"' + "".join(path.read_text(encoding="utf-8") for path in (CHECKOUT / "Makefile", *programs))


def faults(text: str) -> Iterator[str]:
    text = _FENCE.sub("", text)
    for code in _CODE.findall(text):
        name = code.removesuffix("()").rstrip("/").removesuffix(".gz")
        if name in _FOREIGN | _OF_READERS or name.partition("/")[0] in _IGNORED:
            continue
        if _PATH.fullmatch(name):
            if name not in endings():
                yield f"no file {code}"
        elif _NAME.fullmatch(name) and not set(name.split(".")) <= source():
            yield f"no name {code}"
    for target, options in _MADE.findall(text):
        asked = (f"\n{target}:", *(f'"{option}"' for option in re.findall(r"--[\w-]+", options)))
        yield from (f"no {part.strip()} of make" for part in asked if part not in of_make())
    for name, place in _HOME.findall(text):
        homes = [path for path in files() if f"/{shown(path)}".endswith(f"/{place}")]
        if homes and not any(name.rpartition(".")[2] in words(path) for path in homes):
            yield f"no {name} in {place}"


def test_every_name_in_a_document_is_in_the_tree() -> None:
    documents = [path for path in files() if path.suffix == ".md"]
    assert len(documents) > 50
    assert [f"{shown(path)}: {fault}" for path in documents for fault in faults(path.read_text("utf-8"))] == []


@each_row(
    ("text", "fault"),
    [
        ("see `gone.py` and `idp/clock.py`", "no file gone.py"),
        ("see `idp/gone/`, `web/i18n.py` and `/etc/idp/gone.py`", "no file idp/gone/"),
        ("`Account` and `_gone_function()`", "no name _gone_function()"),
        ("`clock.now` and `clock.gone_function`", "no name clock.gone_function"),
        ("`make gone` and `make bench BENCH=--quick`", "no gone: of make"),
        ('`make bench BENCH="--gone x --seconds 8"`', 'no "--gone" of make'),
        ("`today` (`idp/clock.py`), but `Account` (`idp/clock.py`)", "no Account in idp/clock.py"),
    ],
)
def test_a_name_that_is_gone_would_be_seen(text: str, fault: str) -> None:
    assert list(faults(text)) == [fault]
