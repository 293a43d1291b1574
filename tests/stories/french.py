"""Finds the French texts that a page or a mail in another language still shows."""

import re
from functools import cache

from playwright.sync_api import Page

from idp.languages import SOURCE, locale_name
from tests import catalogues

_GAPS = re.compile(r"<[^<>]*>|%\(\w+\)s|\{\w+\}|&\w+;|%%")
_URL = re.compile(r"https?://\S+")
_LETTERS = re.compile(r"[^\W\d_]{3}")
_ONLY_FRENCH = re.compile(
    r"\b(?:vous|votre|vos|avec|cette|dans|pour|est|êtes|sont|aux|où|du|élève|établissement|adresse|mot de passe)\b",
    re.IGNORECASE,
)
"""Words that none of the other languages has: they find a text that no catalogue holds."""
_READ_ALOUD = re.compile(r"aria-label|alt|title|placeholder|data-(?:ok|left|over|(?:text|minutes)\w*)")
"""The attributes that a person hears, or that the script shows."""
_SHOWN = """() => {
  const french = node => node.closest("script, style, bdi:not([lang]), .prose[lang=fr], .langs [lang=fr]");
  const texts = [["title", document.title]];
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  while (nodes.nextNode()) {
    const node = nodes.currentNode;
    if (french(node.closest ? node : node.parentElement)) continue;
    if (node.data) texts.push(["title", node.data]);
    else for (const { name, value } of node.attributes) texts.push([name, value]);
  }
  return texts;
}"""
"""The texts of a page, seen or read aloud, without names of people, the charter, which
stays French, and the name of French in the menu of languages."""


def french_texts(page: Page) -> list[str]:
    """Return the texts that are still French: those of the source, and others with a word that only French has."""
    language = page.locator("html").get_attribute("lang") or ""
    if language == SOURCE:
        return []
    sources = _sources(locale_name(language))
    texts = (text for name, text in page.evaluate(_SHOWN) if _READ_ALOUD.fullmatch(name))
    shown = (re.sub(r"\s+", " ", _URL.sub("", text)).strip() for text in texts)
    return sorted(
        {
            text
            for text in shown
            if _ONLY_FRENCH.search(text) or any(part in text and _holds(text, part) for part in sources)
        }
    )


def _holds(text: str, part: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None


@cache
def _sources(locale: str) -> tuple[str, ...]:
    """Return the parts of the source's texts that no translation of the catalogue has."""
    messages = [message for message in catalogues.read(catalogues.path_of(locale), locale) if message.id]
    translated = " ".join(part for message in messages for part in _parts(message.string))
    parts = {part for message in messages for part in _parts(message.id)}
    return tuple(part for part in parts if part not in translated)


def _parts(texts: str | tuple[str, ...] | list[str] | None) -> list[str]:
    forms = (texts,) if isinstance(texts, str) else tuple(texts or ())
    pieces = (re.sub(r"\s+", " ", piece).strip() for form in forms for piece in _GAPS.split(form))
    return [piece for piece in pieces if _LETTERS.search(piece)]
