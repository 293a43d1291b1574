"""The documentation's site: Sphinx reads the Markdown files of the repository where they stand (`make docs`).

The theme brings its own fonts and scripts, so the site is built and read without network. A link that leads nowhere is
a warning, and `make docs` takes warnings for errors.
"""

from pathlib import Path

from docutils.nodes import Text, document, literal, literal_block
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

from idp import __version__
from idp.web.i18n import french_spacing

project = "Scolarité Services"
release = __version__
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "clients/**.md", "migrations/*.md"]
exclude_patterns = [".*", "bench", "demo", "dist", "idp", "templates", "tests", "var", "**/node_modules"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = project
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Register what is done with each page that was read."""
    app.connect("doctree-read", _show_folders_as_text)
    app.connect("doctree-read", _space_french)


def _show_folders_as_text(app: Sphinx, doctree: document) -> None:
    """Replace links to folders, which a reader of the repository can open and a site cannot, with their text."""
    here = Path(app.srcdir, app.env.docname).parent
    for link in list(doctree.findall(pending_xref)):
        if (here / link["reftarget"]).is_dir():
            link.replace_self(link.children)


def _space_french(_app: Sphinx, doctree: document) -> None:
    """Keep « and » and the high signs beside their words, outside of code; English has no space there."""
    for text in list(doctree.findall(Text)):
        if not isinstance(text.parent, literal | literal_block):
            text.parent.replace(text, Text(french_spacing(text.astext())))
