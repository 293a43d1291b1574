"""Each test of the protocol quotes the sentence that it shows, of a specification or of a row of the security list."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.tree import modules, parsed, shown

_SOURCE = re.compile(
    r"\bRFC \d{4},? (?:\d|abstract)|\bOpenID Connect [A-Z][\w-]+(?: Logout)? 1\.0"
    r"|\b(?:(?:Back-Channel|Front-Channel|RP-Initiated) Logout|Session Management|Form Post Response Mode"
    r"|Multiple Response Type Encoding Practices|Unmet Authentication Requirements"
    r"|Initiating User Registration via OpenID Connect) 1\.0"
    r"|\bFAPI 2\.0 Security Profile, |\bOWASP ASVS 5, V \d|\b[Ss]ecurity (?:row [A-Z]-\d\d|rows, )"
    r"|\bentcore \(clients/README\.md\)"
)
_QUOTATION = re.compile(r'"([^"]+)"')
_FEWEST_WORDS = 4  # fewer are a name or a value, and say nothing


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def silent(test: ast.FunctionDef) -> bool:
    said = " ".join((ast.get_docstring(test) or "").split())
    longest = max((len(quoted.split()) for quoted in _QUOTATION.findall(said)), default=0)
    return not _SOURCE.search(said) or longest < _FEWEST_WORDS


def test_each_quotes_a_specification_or_a_row() -> None:
    found = {
        f"{shown(path)} {test.name}": test for path in modules("tests/protocol") for test in functions(parsed(path))
    }
    assert len(found) > 400
    assert [name for name, test in found.items() if silent(test)] == []


@pytest.mark.parametrize(
    ("docstring", "says"),
    [
        ('RFC 6749, 4.1.2: "The client MUST NOT use the authorization code more than once".', True),
        ('Security row L-07, of a redirect: "is not followed by us".', True),
        ("Security row L-07: a redirect is not followed.", False),
        ('OpenID Connect Core 1.0, 4: "target_link_uri OPTIONAL".', False),
        ('The same sentence: "a code is good once".', False),
        ("A code is good once.", False),
        ("The same sentence: a code is good once.", False),
        ("The answer of RFC 6749.", False),
        ("", False),
    ],
)
def test_it_would_be_seen(docstring: str, says: bool) -> None:  # noqa: FBT001 - a column of the table
    [test] = functions(ast.parse(f"def test_x():\n    {docstring!r}\n"))
    assert silent(test) is not says
