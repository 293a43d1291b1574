"""Renders a charter's Markdown. An ENT writes the text, and parents read it on pages of this service.

A page of the service lends its credit to every link, and the words of a link may name another site than its target. So
a link leads to an https address alone, the host that it leads to is shown after its words, and the site learns neither
the page that the parent came from nor a window to steer. Everything else that would be a link is shown as text.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from markupsafe import escape

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_REL = "noopener noreferrer nofollow"


def render(text: str) -> str:
    """Return the charter's Markdown as HTML. Raw HTML, images and other links than https are text (row C-05)."""
    html: str = _parser().render(text)
    return html.replace("<h1>", "<h2>").replace("</h1>", "</h2>")


def hosts(text: str) -> list[str]:
    """Return the hosts that the links of a charter lead to, each once, in alphabetical order."""
    inline = [child for token in _parser().parse(text) for child in token.children or ()]
    return sorted({_host(str(token.attrs["href"])) for token in inline if token.type == "link_open"})


def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # noqa: PLC0415 - 60 modules, and few requests show a charter

    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    parser.validateLink = lambda url: bool(_host(url))  # type: ignore[method-assign]
    parser.add_render_rule("link_open", _open)
    parser.add_render_rule("link_close", _close)
    return parser


def _host(url: str) -> str:
    """Return the host of an https address; the empty text for another link, and for one that hides its host."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return ""
    is_plain = parts.scheme == "https" and "@" not in parts.netloc and "\\" not in url and host.isascii()
    return host if is_plain else ""


def _open(_renderer: Any, tokens: Sequence["Token"], index: int, _options: Any, _env: Any) -> str:
    return f'<a href="{escape(tokens[index].attrs["href"])}" rel="{_REL}">'


def _close(_renderer: Any, tokens: Sequence["Token"], index: int, _options: Any, _env: Any) -> str:
    """End a link, and name its host unless its words are its address. A link has no link inside (CommonMark 6.3)."""
    opened = next(token for token in reversed(tokens[:index]) if token.type == "link_open")
    return "</a>" if opened.markup == "autolink" else f"</a> ({escape(_host(str(opened.attrs['href'])))})"
