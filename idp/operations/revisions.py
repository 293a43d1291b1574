"""Which revisions of the tables this release runs on: its own, and that of a newer release (migrations/README.md)."""

from functools import cache

from idp.paths import MIGRATIONS


@cache
def newest() -> str:
    """Return the newest revision of this release."""
    return (MIGRATIONS / "HEAD").read_text(encoding="utf-8").strip()


def is_newer(revision: str | None) -> bool:
    """Return whether `revision` is of a newer release: revisions are numbered in their order."""
    return revision is not None and revision.isdecimal() and int(revision) > int(newest())


def is_enough(revision: str | None) -> bool:
    """Return whether this release runs on tables of `revision`.

    It runs on those of a newer release too: nodes of both serve while an operator upgrades, and after a rollback.
    """
    return revision == newest() or is_newer(revision)
