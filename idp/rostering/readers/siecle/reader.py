"""Reads SIECLE's XML exports: `ElevesAvecAdresses.xml` and `ResponsablesAvecAdresses.xml`; the root says which.

The class comes after the pupil, and the address after the person, so that incomplete rows are held in memory. If a file
breaks off, held rows are refused: an incomplete pupil would look like a pupil without a class. A key is `siecle:` and
ELEVE_ID or PERSONNE_ID.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from idp.rostering.files.xml_stream import XmlStream
from idp.rostering.readers.siecle.content import Content
from idp.rostering.readers.siecle.guardians import Guardians
from idp.rostering.readers.siecle.students import Students
from idp.rostering.readers.xml_values import Reporter
from idp.rostering.records import Form, Record

if TYPE_CHECKING:
    from idp.rostering.files.sources import Source

_CONTENTS: Mapping[str, type[Content]] = {
    "BEE_ELEVES": Students,
    "BEE_EPHC_ELEVES": Students,
    "BEE_RESPONSABLES": Guardians,
    "BEE_EPHC_RESPONSABLES": Guardians,
}
_OTHER_EXPORTS = "BEE_"


def read(source: "Source", form: Form) -> Iterator[Record]:
    """Yield the records and the issues of a file; a bad file raises no exception."""
    reporter = Reporter(source.name)
    stream = XmlStream(source, Students.tags | Guardians.tags | {"PARAMETRES"})
    content: Content | None = None
    for element in stream:
        content = content or _content(stream.root, reporter, form)
        if content is None:
            break
        yield from content.take(element)
    content = content or _content(stream.root, reporter, form)
    if stream.refusal:
        yield stream.refusal
        if content:
            yield from content.refuse_all()
    elif content:
        yield from content.finish()
    elif stream.root.startswith(_OTHER_EXPORTS):
        yield reporter.warning(1, "", "not_needed", "Cet export de SIECLE ne parle pas des familles : il est laissé.")
    else:
        yield reporter.error(
            1, "", "not_siecle", "Ce fichier n’est pas un export d’élèves ou de responsables de SIECLE."
        )


def _content(root: str, reporter: Reporter, form: Form) -> Content | None:
    kind = _CONTENTS.get(root)
    return kind(reporter, form) if kind else None
