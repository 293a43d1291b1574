"""Untrusted XML: no entity is loaded or expanded, line numbers are exact, each attack is one issue (R-01)."""

import io
import socket
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from idp.rostering.files.sources import Source
from idp.rostering.files.xml_stream import DEPTH, LEAVES, NAMES, Element, XmlStream
from idp.rostering.records import Issue, Severity
from idp.uai import is_uai
from tests.rostering.files import source
from tests.rows import each_row

MEGABYTE = 1_000_000


def read(content: str | bytes | Source, *tags: str) -> tuple[list[Element], Issue | None]:
    stream = XmlStream(content if isinstance(content, Source) else source(content), frozenset(tags or ["row"]))
    return list(stream), stream.refusal


def refusal(content: str | bytes | Source) -> tuple[str, int]:
    _, issue = read(content)
    assert issue is not None
    assert (issue.severity, issue.refuses) == (Severity.ERROR, "")
    return issue.code, issue.place.line


def texts(content: str | bytes) -> list[str]:
    elements, issue = read(content)
    assert issue is None
    return [text for element in elements for _, _, text in element.leaves]


class Endless(io.RawIOBase):
    """A file object of any size: a head, then the same bytes without end."""

    def __init__(self, head: bytes, again: bytes, size: int) -> None:
        self._next = head
        self._again = again * (1 + (1 << 14) // len(again))
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece, self._next = self._next[: len(buffer)], self._next[len(buffer) :] or self._again
        piece = piece[: self.left]
        buffer[: len(piece)] = piece
        self.left -= len(piece)
        return len(piece)


def endless(head: str, again: str, size: int = 1000 * MEGABYTE) -> tuple[Source, Endless]:
    raw = Endless(head.encode(), again.encode(), size)
    return Source("grand.xml", io.BufferedReader(raw)), raw


def test_elements_have_their_leaves_and_lines() -> None:
    elements, issue = read(
        '<?xml version="1.0"?>\n<all>\n <row a="1" b="2">\n  <x>é &amp; à </x><y/></row>\n<row/></all>'
    )
    assert issue is None
    first, second = elements
    row = ("row", ["a", "1", "b", "2"])
    assert first.node == row
    assert first.leaves == [(row, ("x", []), "é & à"), (row, ("y", []), "")]
    assert [element.line for element in elements] == [3, 5]
    assert second.leaves == []


def test_a_nested_row_belongs_to_the_outer_row() -> None:
    [element], _ = read("<row><row><row>a</row></row><b>c</b></row>")
    assert [(parent[0], own[0], text) for parent, own, text in element.leaves] == [
        ("row", "row", "a"),
        ("row", "b", "c"),
    ]


@pytest.mark.row("R-01")
def test_comments_instructions_and_cdata_do_not_split_a_text() -> None:
    row = "<all><row><x>ad<!-- - -->min<?php x?><![CDATA[<&]]>@riv<!---->ebelle</x>loose<y>b</y></row></all>"
    assert texts(row) == ["admin<&@rivebelle", "b"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_numbers_are_exact_above_65535(end: str) -> None:
    rows = 30_000
    body = end.join(f"<row><!-- {end} -->{number}<x>{end}</x></row>" for number in range(rows))
    elements, issue = read(f"<all>{end}{body}</all>")
    assert issue is None
    assert [element.line for element in elements] == [2 + 3 * number for number in range(rows)]


@each_row(
    ("declared", "codec"),
    [
        ("ISO-8859-15", "iso8859-15"),
        ("windows-1252", "cp1252"),
        ("UTF-8", "utf-8"),
        ("utf-8", "utf-8-sig"),
        ("UTF-16", "utf-16"),
        ("ISO-8859-1", "utf-8-sig"),
    ],
)
def test_a_byte_order_mark_overrides_the_declared_encoding(declared: str, codec: str) -> None:
    content = f'<?xml version="1.0" encoding="{declared}"?>\n<all><row><x>Œuvrard é €</x></row></all>'
    assert texts(content.encode(codec)) == ["Œuvrard é €"]
    elements, _ = read(content.encode(codec))
    assert elements[0].line == 2


def test_latin_1_is_read_and_utf_8_is_the_default() -> None:
    assert texts('<?xml version="1.0" encoding="latin1"?><row><x>é</x></row>'.encode("latin-1")) == ["é"]
    assert texts("<row><x>é</x></row>") == ["é"]


@pytest.mark.row("R-01")
@each_row("encoding", ["UTF-7", "utf7", "UTF-32", "EBCDIC-CP-FR", "hex", "unicode_escape", "x" * 500])
def test_other_encodings_are_refused(encoding: str) -> None:
    assert refusal(f'<?xml version="1.0" encoding="{encoding}"?>\n<all><row/></all>') == ("xml_encoding", 1)


@pytest.mark.row("R-01")
@pytest.mark.parametrize(
    "content",
    [
        b'<?xml version="1.0" encoding="UTF-16"?><all/>',
        "<?xml version='1.0' encoding='UTF-7'?>\n<all/>".encode("utf-8-sig"),
    ],
)
def test_a_false_encoding_is_refused(content: bytes) -> None:
    assert refusal(content)[0] == "xml_encoding"


def test_an_invalid_byte_is_reported_with_its_line() -> None:
    assert refusal("<all>\n<row>é</row></all>".encode("latin-1")) == ("xml_malformed", 2)


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.row("R-01")
@each_row(
    ("subset", "body"),
    [
        (f'<!ENTITY a0 "ha">{LAUGHS}', "&a9;"),
        (f'<!ENTITY a "{"a" * 50_000}">', "&a;" * 50_000),
        ('<!ENTITY a SYSTEM "file:///etc/passwd">', "&a;"),
        ('<!ENTITY a SYSTEM "http://127.0.0.1:9/a">', "&a;"),
        ('<!ENTITY % a SYSTEM "http://127.0.0.1:9/a"> %a;', ""),
        ('<!ATTLIST x is_admin CDATA "1">', ""),
        ("", ""),
    ],
)
def test_a_document_with_an_internal_subset_is_refused(subset: str, body: str) -> None:
    content = f'<?xml version="1.0"?>\n<!DOCTYPE all [{subset}]>\n<all><row><x>{body}</x></row></all>'
    assert refusal(content) == ("xml_entity", 2)


@pytest.mark.row("R-01")
def test_an_external_dtd_is_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.dtd").write_text('<!ENTITY secret "read">', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        for where in ("x.dtd", f"http://127.0.0.1:{port}/x.dtd", (tmp_path / "x.dtd").as_uri()):
            head = f'<?xml version="1.0"?>\n<!DOCTYPE all SYSTEM "{where}">\n'
            assert texts(f"{head}<all><row><x>a</x></row></all>") == ["a"]
            assert refusal(f"{head}<all>\n<row><x>&secret;</x></row></all>") == ("xml_entity", 4)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.row("R-01")
def test_an_undeclared_entity_is_refused() -> None:
    assert refusal("<all>\n<row><x>&eacute;</x></row></all>") == ("xml_malformed", 2)


@pytest.mark.row("R-01")
def test_deep_nesting_is_refused() -> None:
    assert refusal("<all>\n" + "<row>" * 200_000 + "</row>" * 200_000) == ("xml_too_deep", 2)
    inside = DEPTH - 1
    assert read("<row>" + "<x>" * inside + "</x>" * inside + "</row>")[1] is None
    assert refusal("<row>" + "<x>" * DEPTH) == ("xml_too_deep", 1)


@pytest.mark.row("R-01")
@pytest.mark.parametrize(
    ("head", "again"),
    [
        ("<all>\n<row><x>", "a"),
        ("<all>\n<row><x>", "<![CDATA[a]]>"),
        ("<all>\n<row><x>", "a<!-- b -->"),
        ("<all>\n<row><x>", "&#768;"),
        ("<all>\n", " "),
        ("<all>\n<!-- ", "a"),
        ("<all>\n<?a ", "a"),
        ('<all>\n<row a="', "a"),
        ("<all>\n<row", "a"),
        ("<all>\n<row>", "<x/>"),
        ("<all>\n<row>", "<x>a</x>"),
        ("<all>\n<row>", "<!-- b -->"),
        ('<!DOCTYPE all SYSTEM "\n', "a"),
    ],
)
def test_a_gigabyte_is_refused_early_in_constant_memory(head: str, again: str) -> None:
    content, raw = endless(head, again)
    tracemalloc.start()
    try:
        code, line = refusal(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert code in {"xml_too_long", "not_xml"}
    assert line <= 2
    assert 1000 * MEGABYTE - raw.left < 15 * MEGABYTE
    assert peak < 40 * MEGABYTE


@pytest.mark.row("R-01")
def test_too_many_distinct_names_are_refused() -> None:
    names = "".join(f"<n{number}/>" for number in range(50 * NAMES))
    assert refusal(f"<all>\n{names}</all>") == ("xml_too_long", 2)
    names = " ".join(f'n{number}="1"' for number in range(NAMES + 1))
    assert refusal(f"<all>\n<row {names}/>{' ' * 20_000}</all>") == ("xml_too_long", 2)


def test_ignored_elements_use_no_memory() -> None:
    content, _ = endless("<all>", "<other><x>aaaaaaaaaaaaaaaa</x></other>\n", 4 * MEGABYTE)
    tracemalloc.start()
    try:
        elements, issue = read(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert elements == []
    assert issue is not None
    assert issue.code == "xml_truncated"
    assert peak < MEGABYTE


def test_large_realistic_documents_are_read() -> None:
    assert len(texts(f"<all><row><x>{'a' * 900_000}</x></row></all>")[0]) == 900_000
    rows = "<x>a</x>" * (LEAVES // 2)
    assert len(texts(f"<all><row>{rows}</row></all>")) == LEAVES // 2


@pytest.mark.row("R-01")
@each_row(
    ("content", "expected"),
    [
        (b"", ("empty_file", 1)),
        (b"Nom;Pr\xe9nom\nLEROY;Malo\n", ("not_xml", 1)),
        (b"   \n ", ("not_xml", 2)),
        (b"<all>\n<row>a</row>\n<row", ("xml_truncated", 3)),
        (b"<all>\n<row>a</row>\n", ("xml_truncated", 3)),
        (b"<all><row><![CDATA[a", ("xml_truncated", 1)),
        (b"<all>\n<row></all>", ("xml_malformed", 2)),
        (b"<all>\n<row a='1' a='2'/></all>", ("xml_malformed", 2)),
        (b"<all/>\n<all/>", ("xml_malformed", 2)),
        (b"<all>\n\0</all>", ("xml_malformed", 2)),
        (b"\x1f\x8b\x08\0\0\0\0", ("not_xml", 1)),
    ],
)
def test_a_malformed_document_gives_one_issue(content: bytes, expected: tuple[str, int]) -> None:
    assert refusal(content) == expected


def test_elements_before_a_syntax_error_are_returned() -> None:
    elements, issue = read("<all>\n<row><x>a</x></row>\n<row><x>b</x></row></oops>")
    assert [element.leaves[0][2] for element in elements] == ["a", "b"]
    assert issue is not None
    assert issue.place.line == 3


def test_a_read_error_gives_an_issue() -> None:
    class Broken(Endless):
        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            if self.left < 100_000:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    raw = Broken(b"<all>", b"<row>\n</row>", 300_000)
    assert refusal(Source("disque.xml", io.BufferedReader(raw)))[0] == "unreadable_file"


PIECES = (
    "<all>|</all>|<row>|</row>|<row a='1'>|<x/>|<x>|</x>|<!--|-->|<![CDATA[|]]>|<?a|?>|&amp;|&a;|<!ENTITY a 'a'>|\n|\r|"
    "é|<?xml version='1.0' encoding='utf-16'?>|<!DOCTYPE all SYSTEM 'a'>|<!DOCTYPE all [|]>|<all xmlns='a'>|<a:b>|<|\0"
)


def joined(pieces: list[str], codec: str) -> bytes:
    return "".join(pieces).encode(codec, "replace")


DOCUMENTS = st.binary(max_size=300) | st.builds(
    joined, st.lists(st.sampled_from(PIECES.split("|")), max_size=25), st.sampled_from(["utf-8", "utf-16", "latin-1"])
)


@pytest.mark.row("R-01")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENTS)
def test_arbitrary_bytes_give_elements_or_one_issue(content: bytes) -> None:
    elements, issue = read(content)
    lines = 1 + max(content.count(b"\n"), content.decode("utf-16", "replace").count("\n")) + content.count(b"\r")
    assert all(1 <= element.line <= lines for element in elements)
    assert issue is None or (1 <= issue.place.line <= lines and issue.message)


@each_row("text", ["0599001N", "0599002P", "0599003R", "0599900R", "0629900Z", "0629001X", "0790031E"])
def test_the_check_letter_validates_a_uai(text: str) -> None:
    assert is_uai(text)
    assert not any(is_uai(text[:7] + letter) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter != text[7])


@each_row("text", ["", "0599001n", " 0599001N", "0599001N\n", "599001N", "٠٥٩٩٠٠١N", "0599001"])
def test_invalid_uais_are_refused(text: str) -> None:
    assert not is_uai(text)
