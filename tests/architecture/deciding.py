"""Finds comparisons of a table's columns, for tests that allow them in one module."""

import ast
from collections.abc import Collection, Iterator

from tests.architecture.tree import nodes_of

_TESTS = {"is_", "is_not", "isnot", "between", "in_", "not_in"}


def columns_compared(tree: ast.Module, table: str, rows: Collection[str], columns: Collection[str]) -> set[str]:
    """Return the columns that a module compares, by the class of the table, an alias of it or a row.

    Args:
        tree: The module.
        table: The class.
        rows: Names that always mean a row of the table, whatever they were made of.
        columns: The columns that count.
    """
    names = {table, *rows, *_named_rows(tree, table)}
    return {
        node.attr
        for operand in _operands(tree)
        for node in ast.walk(operand)
        if isinstance(node, ast.Attribute) and node.attr in columns and _row_of(node) in names
    }


def _row_of(column: ast.Attribute) -> str:
    """Return the name of the row, class or table in `row.column` or `table.c.column`."""
    match column.value:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name), attr="c"):
            return name
    return ""


def _named_rows(tree: ast.Module, table: str) -> Iterator[str]:
    """Yield the names of rows: parameters by their annotation, variables by what they are made of."""
    for node in nodes_of(tree):
        match node:
            case ast.arg(arg=name, annotation=ast.expr() as annotation) if _is_about(annotation, table):
                yield name
            case ast.Assign(targets=[target], value=value) if _is_about(value, table):
                yield from (inner.id for inner in ast.walk(target) if isinstance(inner, ast.Name))


def _is_about(expression: ast.expr, table: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == table for node in ast.walk(expression))


def _operands(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the expressions that a decision depends on: of comparisons, of tests for NULL, of conditions."""
    for node in nodes_of(tree):
        match node:
            case ast.Compare(left=left, comparators=others):
                yield from (left, *others)
            case ast.Call(func=ast.Attribute(value=value, attr=test)) if test in _TESTS:
                yield value
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                yield test
            case ast.BoolOp(values=values):
                yield from values
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield operand
            case ast.comprehension(ifs=conditions):
                yield from conditions
