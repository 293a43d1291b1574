"""The links of a charter: https alone, with the host that they lead to."""

import pytest

from idp.charter import service
from tests.rows import each_row

REL = 'rel="noopener noreferrer nofollow"'


@pytest.mark.row("C-05")
def test_a_link_names_the_host_that_it_leads_to() -> None:
    html = service.as_html("Lisez [educonnect.gouv.fr](https://loin.example/a?b=1&c=2 'Aide').")
    assert html == (
        f'<p>Lisez <a href="https://loin.example/a?b=1&amp;c=2" {REL}>educonnect.gouv.fr</a> (loin.example).</p>\n'
    )
    assert service.as_html("<https://ent.test/aide>") == (
        f'<p><a href="https://ent.test/aide" {REL}>https://ent.test/aide</a></p>\n'
    ), "words that are the address say its host already"
    assert "(xn--exmple-cva.fr)" in service.as_html("[a](https://exémple.fr/)"), "no letter that looks like another"


@each_row(
    "url",
    [
        "http://ent.test/",
        "//ent.test/",
        "/deconnexion",
        "aide.html",
        "#bas",
        "javascript:alert(1)",
        "data:text/html,x",
        "mailto:a@b.fr",
        "https://bonne.fr@ailleurs.example/",
        "https:\\\\ailleurs.example/",
        "https://[::1/",
        "https://ent.test:x/",
        "https:///chemin",
    ],
)
@pytest.mark.row("C-05")
def test_another_link_is_text(url: str) -> None:
    text = f"[aide]({url}) et [aide][1]\n\n[1]: {url}"
    assert "<a" not in service.as_html(text)
    assert service.hosts(text) == []


def test_the_hosts_of_all_links_are_listed_once() -> None:
    text = "# [a](https://b.fr/1)\n\n- [c](https://B.fr/2) et <https://a.fr/>\n- [d](http://non.fr)"
    assert service.hosts(text) == ["a.fr", "b.fr"]
