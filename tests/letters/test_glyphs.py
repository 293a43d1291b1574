"""The glyphs of the fonts, and the replacement of missing ones."""

from idp.letters.render import postal
from idp.letters.render.postal import printable
from tests import forked
from tests.rows import each_row


@each_row(
    ("text", "printed"),
    [
        ("Zoé d’Œuvre-Nuñez", "Zoé d’Œuvre-Nuñez"),
        ("Zoe\u0301", "Zoé"),
        (" Malo\r\nBcc:\tx ", "Malo Bcc: x"),
        ("8 h à 18\u00a0h", "8 h à 18\u00a0h"),
        (r"\textbf{<b>x</b>} #panic() $y$", r"\textbf{<b>x</b>} #panic() $y$"),
        ("Ya\u202egnirts\u2066\u0000\ud800\ufeff", "Yagnirts"),
        ("محمد أمين", "محمد أمين"),
        ("漢字 Malo 😀", "Malo"),
        ("𝒜𝓁𝒾", "Ali"),
        ("vraiment ?", "vraiment ?"),
        ("z" + "\u0335" * 40, "z" + "\u0335" * 3),
        ("", ""),
    ],
)
def test_text_is_reduced_to_drawable_characters(text: str, printed: str) -> None:
    assert printable(text) == printed


def test_the_fonts_cover_the_scripts_of_the_letter() -> None:
    held = postal._code_points()
    assert {ord(char) for char in "ÀÉÈÊËÎÏÔÙÛÜÇŒÆàéèêëîïôùûüçœæ’«»…ğışÄÖÑãõاءéЖΩ?"} <= held
    assert not {ord(char) for char in "漢😀\u0378"} & held


def test_commands_that_print_no_letter_do_not_import_fonttools() -> None:
    """The parent process of `tests.forked` has imported the whole product."""
    assert forked.succeed("tests.letters.fonts_imported") == "['idp.cli']\n"
