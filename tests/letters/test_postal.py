"""The postal address in the window: six lines of 38 characters, in capitals (AFNOR NF Z10-011)."""

from hypothesis import given
from hypothesis import strategies as st

from idp.letters.render.postal import COLUMNS, LINES, address_block
from tests.rows import each_row


def test_lines_are_capitals_without_accents() -> None:
    lines = ["Madame Noémie Leroy-d’Œuvre", "12 bis, rue de l’Église", "97410 Saint-Pierre, La Réunion."]
    assert address_block(lines) == [
        "MADAME NOEMIE LEROY-D’OEUVRE",
        "12 BIS, RUE DE L’EGLISE",
        "97410 SAINT PIERRE LA REUNION",
    ]


def test_empty_lines_are_not_printed() -> None:
    assert address_block(["Ali Öz", "", "  \t", "1 rue du Test", "59990 Rivebelle"]) == [
        "ALI OZ",
        "1 RUE DU TEST",
        "59990 RIVEBELLE",
    ]
    assert address_block([]) == []


def test_a_long_line_is_wrapped_while_lines_remain() -> None:
    block = address_block(["Madame Marie-Christine de La Tour du Pin Vandeputte", "1 rue du Test", "59990 Rivebelle"])
    assert block == ["MADAME MARIE-CHRISTINE DE LA TOUR DU", "PIN VANDEPUTTE", "1 RUE DU TEST", "59990 RIVEBELLE"]


def test_a_long_postal_address_keeps_name_street_and_town() -> None:
    block = address_block(["Ali Öz", "chez M. Un", "Étage 2", "Escalier C", "Bât. B", "Lieu-dit", "1 rue X", "59990 Y"])
    assert block == ["ALI OZ", "ESCALIER C", "BAT. B", "LIEU-DIT", "1 RUE X", "59990 Y"]


def test_a_long_name_keeps_its_second_line_before_the_lines_below() -> None:
    name = "Madame Marie-Antoinette-Joséphine DE LA ROCHE-SAINT-ANDRÉ"
    block = address_block([name, "chez M. Un", "Étage 2", "Bât. B", "Lieu-dit", "1 rue X", "59990 Y"])
    assert block == [
        "MADAME MARIE-ANTOINETTE-JOSEPHINE DE",
        "LA ROCHE-SAINT-ANDRE",
        "BAT. B",
        "LIEU-DIT",
        "1 RUE X",
        "59990 Y",
    ]


def test_letters_of_other_scripts_keep_their_marks() -> None:
    assert address_block(["Мадам Йорданка", "أحمد", "59990 Ý"]) == ["МАДАМ ЙОРДАНКА", "أحمد", "59990 Y"]


@given(st.lists(st.text(max_size=250), max_size=9))
def test_any_text_gives_at_most_six_lines_of_thirty_eight(lines: list[str]) -> None:
    block = address_block(lines)
    assert len(block) <= LINES
    assert all(0 < len(line) <= COLUMNS for line in block)


@each_row("town", ["---", "…", "59990\n RIVEBELLE", "\ud800", "\u202e59990 X"])
def test_an_unusual_last_line_is_accepted(town: str) -> None:
    block = address_block(["Ali Öz", "1 rue du Test", town])
    assert block[0] == "ALI OZ"
    assert "1 RUE DU TEST" in block
