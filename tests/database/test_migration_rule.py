"""Expand, then contract: the statements of a release run on the schema of the next release (migrations/README.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import psycopg

from idp import __version__, schema
from idp.operations.revisions import newest
from idp.paths import MIGRATIONS
from tests import former_release, next_release
from tests.applications import lent
from tests.architecture.tree import parsed
from tests.databases import settings_for
from tests.rows import each_row

_ADDS = {"create_table", "create_table_comment", "create_index", "batch_alter_table", "add_column", "alter_column"}
"""The operations of an expanding revision; `add_column` and `alter_column` have limits. All others are refused.

A constraint, a trigger or a SQL statement may refuse or change data that the former release writes.
"""
_BLOCK = "op.get_context().autocommit_block"
"""Where an index is created on a table that has rows: elsewhere, it would stop the writers of the table."""
_OPERATIONS = {"op", "batch_op"}
_TYPES = ("sa.", "postgresql.")
"""The modules of column types, whose calls change nothing."""
_AGAIN = "postgresql_concurrently=True, if_not_exists=True"


def revisions() -> list[Path]:
    return sorted((MIGRATIONS / "versions").glob("*.py"))


def names(tree: ast.Module) -> dict[str, object]:
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def is_given(call: ast.Call, name: str, *values: object) -> bool:
    return any(
        keyword.arg == name and (not values or getattr(keyword.value, "value", None) in values)
        for keyword in call.keywords
    )


def operations(upgrade: ast.FunctionDef) -> Iterator[tuple[str, ast.Call]]:
    for call in (node for node in ast.walk(upgrade) if isinstance(node, ast.Call)):
        if not isinstance(call.func, ast.Attribute):
            yield ast.unparse(call.func), call
        elif not ast.unparse(call.func).startswith(_TYPES):
            is_operation = isinstance(call.func.value, ast.Name) and call.func.value.id in _OPERATIONS
            yield (call.func.attr if is_operation else ast.unparse(call.func)), call


def new_tables(upgrade: ast.FunctionDef) -> set[object]:
    """Return the tables that `upgrade` creates, which the former release does not use."""
    calls = (call for name, call in operations(upgrade) if name == "create_table" and call.args)
    return {getattr(call.args[0], "value", None) for call in calls}


def taken_away(tree: ast.Module) -> Iterator[str]:
    """Yield the operations of `upgrade` that can break a statement of the former release."""
    upgrade = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
    created = new_tables(upgrade)
    within = {id(call): table for table, calls in batches(upgrade) for call in calls}
    for name, call in operations(upgrade):
        if name in {"get_context", _BLOCK}:
            continue
        table = within.get(id(call), getattr(call.args[1], "value", None) if len(call.args) > 1 else None)
        allowed = name in _ADDS or (name == "f" and isinstance(call.func, ast.Attribute))
        if name == "alter_column":
            allowed = all(keyword.arg in {"existing_type", "nullable"} for keyword in call.keywords)
            allowed &= is_given(call, "nullable", True)
        if name == "create_index":
            allowed = table in created or is_concurrent(upgrade, call)
        if name == "add_column":
            [column] = [arg for arg in call.args if isinstance(arg, ast.Call)]
            is_free = not is_given(column, "nullable", False) or is_given(column, "server_default")
            allowed = is_free and not constrained(column)
        if not allowed:
            yield name


def is_concurrent(upgrade: ast.FunctionDef, index: ast.Call) -> bool:
    """Return whether an index stops no writer, and an upgrade that was interrupted can be run again.

    The block commits what is before it, so that nothing else may be in the revision.
    """
    blocks = [node for node in upgrade.body if isinstance(node, ast.With)]
    opened = {ast.unparse(item.context_expr) for block in blocks for item in block.items}
    options = {"postgresql_concurrently": True, "if_not_exists": True}
    return (
        upgrade.body == blocks
        and opened == {f"{_BLOCK}()"}
        and {name for name, _ in operations(upgrade)} == {"get_context", _BLOCK, "create_index"}
        and all(is_given(index, *option) for option in options.items())
        and not is_given(index, "unique", True)
    )


def batches(upgrade: ast.FunctionDef) -> Iterator[tuple[object, list[ast.Call]]]:
    """Yield the table of each `with op.batch_alter_table(…)`, and the calls in its block."""
    for block in (node for node in ast.walk(upgrade) if isinstance(node, ast.With)):
        opening = (item.context_expr for item in block.items if isinstance(item.context_expr, ast.Call))
        for opened in (each for each in opening if each.args):
            calls = [node for line in block.body for node in ast.walk(line) if isinstance(node, ast.Call)]
            yield getattr(opened.args[0], "value", None), calls


def constrained(column: ast.Call) -> bool:
    kinds = {"ForeignKey", "CheckConstraint", "Computed", "Identity"}
    calls = (node.func for node in ast.walk(column) if isinstance(node, ast.Call))
    return is_given(column, "unique", True) or any(
        isinstance(func, ast.Attribute) and func.attr in kinds for func in calls
    )


def faults(tree: ast.Module) -> list[str]:
    mentioned, taken = names(tree), list(taken_away(tree))
    if mentioned.get("phase") == "expand":
        return taken
    if mentioned.get("phase") == "contract":
        since = str(mentioned.get("unused_since", ""))
        older = since and [int(part) for part in since.split(".")] < [int(part) for part in __version__.split(".")]
        return [] if older else ["unused_since names no older release"]
    return ["no phase"]


def test_an_expanding_revision_drops_no_object() -> None:
    assert revisions()
    assert {path.name: faults(parsed(path)) for path in revisions() if faults(parsed(path))} == {}


@each_row(
    ("phase", "statement", "refused"),
    [
        ("phase = 'expand'", "op.add_column('a', sa.Column('b', sa.Text(), nullable=True))", False),
        ("phase = 'expand'", "op.add_column('a', sa.Column('b', sa.Text(), nullable=False, server_default=''))", False),
        ("phase = 'expand'", "op.add_column('a', sa.Column('b', sa.Text(), nullable=False))", True),
        ("phase = 'expand'", "op.drop_column('a', 'b')", True),
        ("phase = 'expand'", "op.alter_column('a', 'b', new_column_name='c')", True),
        ("phase = 'expand'", "op.alter_column('a', 'b', nullable=False)", True),
        ("phase = 'expand'", "op.alter_column('a', 'b', nullable=True)", False),
        ("phase = 'expand'", "op.alter_column('a', 'b', nullable=True, type_=sa.Text())", True),
        ("phase = 'expand'", "op.alter_column('a', 'b', type_=sa.String(3))", True),
        ("phase = 'expand'", "op.alter_column('a', 'b', server_default=None)", True),
        ("phase = 'expand'", "op.create_table('a', sa.Column('b', sa.Text(), nullable=False))", False),
        ("phase = 'expand'", "op.create_index('ix_a_b', 'a', ['b'])", True),
        ("phase = 'expand'", f"with {_BLOCK}(): op.create_index('i', 'a', ['b'], {_AGAIN})", False),
        ("phase = 'expand'", f"with {_BLOCK}(): op.create_index('i', 'a', ['b'], unique=True, {_AGAIN})", True),
        ("phase = 'expand'", f"with {_BLOCK}(): op.create_index('i', 'a', ['b'], postgresql_concurrently=True)", True),
        ("phase = 'expand'", f"with {_BLOCK}(): op.create_index('i', 'a', ['b'], if_not_exists=True)", True),
        (
            "phase = 'expand'",
            f"with {_BLOCK}(): op.create_table('c'); op.create_index('i', 'a', ['b'], {_AGAIN})",
            True,
        ),
        ("phase = 'expand'", f"op.create_index('i', 'a', ['b'], {_AGAIN})", True),
        ("phase = 'expand'", "op.create_table('a'); op.create_index('ix_a_b', 'a', ['b'])", False),
        ("phase = 'expand'", "op.create_index('ix_a_b', 'a', ['b'], unique=True)", True),
        ("phase = 'expand'", "op.create_table('a'); op.create_index('ix_a_b', 'a', ['b'], unique=True)", False),
        ("phase = 'expand'", "op.create_unique_constraint('uq', 'a', ['b'])", True),
        ("phase = 'expand'", "op.create_foreign_key('fk', 'a', 'c', ['b'], ['d'])", True),
        ("phase = 'expand'", "op.create_check_constraint('ck', 'a', 'b > 0')", True),
        ("phase = 'expand'", "op.create_primary_key('pk', 'a', ['b'])", True),
        ("phase = 'expand'", "op.add_column('a', sa.Column('b', sa.Text(), sa.ForeignKey('c.d')))", True),
        ("phase = 'expand'", "op.add_column('a', sa.Column('b', sa.Text(), unique=True))", True),
        ("phase = 'expand'", "op.execute('DROP TABLE a')", True),
        ("phase = 'expand'", "op.get_bind().execute(sa.text('DROP TABLE a'))", True),
        ("phase = 'expand'", "helper()", True),
        ("phase = 'expand'", "op.drop_index('ix_a_b')", True),
        ("phase = 'expand'", "op.bulk_insert(a, [])", True),
        ("phase = 'expand'", "with op.batch_alter_table('a') as batch_op: batch_op.drop_column('b')", True),
        ("phase = 'expand'", "with op.batch_alter_table('a') as x: x.create_index('i', ['b'])", True),
        ("phase = 'expand'", "with op.batch_alter_table('a') as batch_op: batch_op.create_index('i', ['b'])", True),
        ("phase = 'contract'; unused_since = '0.0.1'", "op.drop_column('a', 'b')", False),
        (f"phase = 'contract'; unused_since = '{__version__}'", "op.drop_column('a', 'b')", True),
        ("phase = 'contract'", "op.drop_column('a', 'b')", True),
        ("pass", "op.create_table('a')", True),
    ],
)
def test_a_revision_that_breaks_the_rule_is_seen(phase: str, statement: str, *, refused: bool) -> None:
    tree = ast.parse(f"{phase}\ndef upgrade():\n    {statement}\n")
    assert bool(faults(tree)) is refused


_FIRST = "0002"
"""The newest revision until the first release: until then, the statements of this tree stand for its own."""


def test_statements_of_the_former_release_run_on_this_schema(database_url: str) -> None:
    statements = former_release.read()
    if not statements:
        assert newest() == _FIRST, "run `python -m tests.former_release` on the commit of the last release"
        statements = former_release.of_this_release(database_url)
    assert len(statements) > 150
    with psycopg.connect(database_url) as connection:
        assert former_release.find_broken(connection, statements) == []
        assert former_release.find_unwritten(connection, statements) == []


def test_this_release_runs_on_the_tables_of_the_next_one(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url)
    upgraded = next_release.run(next_release.sources(tmp_path), settings, "db", "upgrade")
    assert upgraded == f"{newest()} → {next_release.REVISION}\n"
    with lent(settings, own=True) as app:
        answer = app.test_client().get("/readyz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})
    assert schema.upgrade(settings) == (next_release.REVISION, next_release.REVISION), "the step of a rollback"
    with psycopg.connect(database_url) as connection:
        assert former_release.find_broken(connection, former_release.of_this_release(database_url)) == []


def test_a_column_that_the_former_release_uses_or_does_not_write_is_noticed(database_url: str) -> None:
    statements = former_release.of_this_release(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE outbox RENAME COLUMN last_error TO fault")
        connection.execute("ALTER TABLE school ADD COLUMN region text NOT NULL")
        broken = former_release.find_broken(connection, statements)
        unwritten = former_release.find_unwritten(connection, statements)
        connection.rollback()
    assert [text.split()[0] for text in broken[:3]] == ["INSERT", "SELECT", "UPDATE"]
    assert all('"last_error"' in text for text in broken)
    assert unwritten == ["outbox.fault", "school.region"]
