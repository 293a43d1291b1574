"""Reads untrusted XML in one pass: no external file, no entity expansion, flat memory (R-01).

The parser is expat, without a tree. It knows the exact line of each element in a file of any size (libxml2 stops
counting at 65,535) and leaves all limits to this module. A document with declarations in its DTD is refused before they
are read; `<!DOCTYPE x SYSTEM "x.dtd">` is accepted, and x.dtd is never opened. The memory that expat itself uses
(names, incomplete tokens) is checked after each piece of the file.
"""

import codecs
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple
from xml.parsers import expat

from idp.rostering.records import Issue, Place, Severity

if TYPE_CHECKING:
    from idp.rostering.files.sources import Source

DEPTH = 32
TEXT = 1_000_000
"""The most characters of one text. It is far above the length of a name, which a reader refuses with the key."""
TOKEN = 250_000  # the most bytes of one tag with its attributes, of one comment, of one instruction
ELEMENT = 4_000_000  # the most bytes of one wanted element
LEAVES = 20_000
NAMES = 2_000  # the most different names of elements and attributes in a file: the parser keeps all of them

# Bytes at a time. Small pieces save a fifth of the time: their objects are freed before a garbage collection.
_PIECE = 1 << 13
_ENCODINGS = {"utf-8", "utf-16", "utf-16-le", "utf-16-be", "iso8859-1", "iso8859-15", "cp1252", "ascii"}
_BOMS = {codecs.BOM_UTF8: "UTF-8", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
_CUT = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}
_WRONG_ENCODING = {
    expat.errors.codes[message]
    for message in (expat.errors.XML_ERROR_UNKNOWN_ENCODING, expat.errors.XML_ERROR_INCORRECT_ENCODING)
}

Node = tuple[str, list[str]]  # the name of an element, and its attributes: name, value, name, value…
Leaf = tuple[Node, Node, str]
"""An element without children: its parent, itself, and its text without surrounding spaces."""


class Element(NamedTuple):
    """A wanted element, complete.

    Attributes:
        node: The element. Of its own children that are leaves, the parent `is` this tuple.
        line: The line of its start tag, from 1.
        leaves: Its descendants without children, in the order of the file.
    """

    node: Node
    line: int
    leaves: list[Leaf]


class _RefusedFileError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class XmlStream:
    """The elements of `source` whose name is among `tags`; a nested one is a part of the outer one.

    Comments, instructions and CDATA sections do not split a text.

    Attributes:
        root: The name of the outermost element, once an element was yielded.
        refusal: Why the file was not read to its end, or None.
    """

    def __init__(self, source: "Source", tags: frozenset[str]) -> None:
        self.root = ""
        self.refusal: Issue | None = None
        self._source = source
        self._tags = tags
        self._fed = 0
        self._done: list[Element] = []
        self._texts: list[str] = []
        self._opened: list[tuple[int, list[Leaf]]] = []

    def __iter__(self) -> Iterator[Element]:
        """Yield the elements. A bad file raises no exception: see `refusal`."""
        parser: expat.XMLParserType | None = None
        more = True
        while more and self.refusal is None:
            line = parser.CurrentLineNumber if parser else 1
            try:
                piece = self._source.stream.read(_PIECE)
            except OSError:
                self._refuse(line, "unreadable_file", "Le fichier est abîmé : la suite ne peut pas être lue.")
                return
            parser = parser or self._parser(piece)
            more = bool(piece)
            self._feed(parser, piece)
            yield from self._done
            self._done.clear()

    def _feed(self, parser: expat.XMLParserType, piece: bytes) -> None:
        self._fed += len(piece)
        try:
            parser.Parse(piece, not piece)
            if piece:
                self._check_sizes(parser)
        except _RefusedFileError as error:
            self._refuse(parser.CurrentLineNumber, error.code, error.message)
        except expat.ExpatError as error:
            self._refuse(error.lineno, *self._reason(error.code))

    def _refuse(self, line: int, code: str, message: str) -> None:
        self.refusal = Issue(Severity.ERROR, Place(self._source.name, max(line, 1)), "", code, message)

    def _reason(self, code: int) -> tuple[str, str]:
        if code in _WRONG_ENCODING:
            return "xml_encoding", "Le fichier n’est pas dans l’encodage qu’il annonce : il n’est pas lu."
        if not self._fed:
            return "empty_file", "Le fichier est vide."
        if not self.root:
            return "not_xml", "Ce n’est pas un fichier XML."
        if code in _CUT:
            return "xml_truncated", "Le fichier est coupé avant sa fin. Refaites l’export, puis l’envoi."
        return "xml_malformed", "Le fichier n’est pas du XML correct à cette ligne : la suite n’est pas lue."

    def _check_sizes(self, parser: expat.XMLParserType) -> None:
        at = parser.CurrentByteIndex
        begin, leaves = self._opened[0] if self._opened else (at, ())
        if (
            sum(map(len, self._texts)) > TEXT
            or self._fed - at > TOKEN
            or at - begin > ELEMENT
            or len(leaves) > LEAVES
            or len(parser.intern) > NAMES
        ):
            raise _RefusedFileError(
                "xml_too_long", "Un élément du fichier est démesuré à cette ligne : la suite n’est pas lue."
            )

    def _parser(self, head: bytes) -> expat.XMLParserType:
        """Return the parser of a file that begins with `head`; a byte order mark overrides the XML declaration."""
        encoding = next((name for bom, name in _BOMS.items() if head.startswith(bom)), None)
        parser = expat.ParserCreate(encoding)
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.XmlDeclHandler = _check_encoding
        parser.StartDoctypeDeclHandler = _check_doctype
        parser.SkippedEntityHandler = _refuse_entity
        parser.CharacterDataHandler = self._texts.append
        start, parser.EndElementHandler = self._handlers(parser)

        def begin(name: str, attributes: list[str]) -> None:
            self.root = name
            parser.StartElementHandler = start
            start(name, attributes)

        parser.StartElementHandler = begin
        return parser

    def _handlers(self, parser: expat.XMLParserType) -> tuple[Callable[[str, list[str]], None], Callable[[str], None]]:
        """Return the handlers of start and end tags. They are closures for speed: a person has a hundred tags."""
        tags, texts, opened, done = self._tags, self._texts, self._opened, self._done
        path: list[Node] = []
        push, pop = path.append, path.pop
        node: Node | None = None
        line = 0
        leaves: list[Leaf] = []
        is_leaf = False

        def start(name: str, attributes: list[str]) -> None:
            nonlocal node, line, leaves, is_leaf
            if texts:
                texts.clear()
            is_leaf = True
            own = (name, attributes)
            push(own)
            if node is None and name in tags:
                node, line, leaves = own, parser.CurrentLineNumber, []
                opened.append((parser.CurrentByteIndex, leaves))
            if len(path) > DEPTH:
                raise _RefusedFileError("xml_too_deep", "Des éléments sont emboîtés sans fin : la suite n’est pas lue.")

        def end(name: str) -> None:  # noqa: ARG001 - expat's signature; expat checks the name
            nonlocal node, is_leaf
            own = pop()
            if is_leaf:
                is_leaf = False
                if node is not None and own is not node:
                    # `texts` holds only this element's text: it is cleared at each start tag
                    leaves.append((path[-1], own, "".join(texts).strip()))
                    return
            if own is node:
                done.append(Element(own, line, leaves))
                opened.clear()
                node = None

        return start, end


def _check_encoding(version: str, encoding: str | None, standalone: int) -> None:  # noqa: ARG001 - expat's signature
    try:
        known = encoding is None or codecs.lookup(encoding).name in _ENCODINGS
    except LookupError:
        known = False
    if not known:
        raise _RefusedFileError(
            "xml_encoding", "Le fichier annonce un encodage qui n’est pas accepté : il n’est pas lu."
        )


def _check_doctype(name: str, system: str | None, public: str | None, has_internal_subset: int) -> None:  # noqa: ARG001 - same
    if has_internal_subset:
        raise _RefusedFileError(
            "xml_entity", "Le fichier contient ses propres déclarations (DTD, entités) : par sécurité, il n’est pas lu."
        )


def _refuse_entity(name: str, is_parameter: bool) -> None:  # noqa: ARG001, FBT001 - same
    raise _RefusedFileError(
        "xml_entity", "Le fichier emploie une abréviation (entité) qu’il n’explique pas : il n’est pas lu."
    )
