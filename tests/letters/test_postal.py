"""The postal address in the window: capitals, six lines of 38 characters (AFNOR NF Z10-011), and never a part less."""

from hypothesis import given, strategies as st

from idp.letters.render.postal import COLUMNS, AddressBlock, address_block, printable, width
from tests.rows import each_row

WINDOW = 85 / 25.4 * 72


def block_of(*lines: str) -> AddressBlock:
    block = address_block(lines)
    assert block is not None
    return block


def test_lines_are_capitals_without_accents() -> None:
    lines = ["Madame Noémie Leroy-d’Œuvre", "12 bis, rue de l’Église", "97410 Saint-Pierre, La Réunion."]
    assert block_of(*lines) == (
        ["MADAME NOEMIE LEROY-D’OEUVRE", "12 BIS, RUE DE L’EGLISE", "97410 SAINT PIERRE LA REUNION"],
        10.0,
    )


def test_empty_lines_are_not_printed() -> None:
    rows = ["ALI OZ", "1 RUE DU TEST", "59990 RIVEBELLE"]
    assert block_of("Ali Öz", "", "  \t", "1 rue du Test", "59990 Rivebelle").rows == rows
    assert block_of().rows == []


def test_a_long_line_is_wrapped() -> None:
    block = block_of("Madame Marie-Christine de La Tour du Pin Vandeputte", "1 rue du Test", "59990 Rivebelle")
    assert block.rows == ["MADAME MARIE-CHRISTINE DE LA TOUR DU", "PIN VANDEPUTTE", "1 RUE DU TEST", "59990 RIVEBELLE"]
    assert block.size == 10


def test_an_address_of_eight_lines_is_printed_smaller() -> None:
    block = block_of("Ali Öz", "chez M. Un", "Étage 2", "Escalier C", "Bât. B", "Lieu-dit", "1 rue X", "59990 Y")
    assert block.rows == ["ALI OZ", "CHEZ M. UN", "ETAGE 2", "ESCALIER C", "BAT. B", "LIEU-DIT", "1 RUE X", "59990 Y"]
    assert block.size == 8


def test_a_word_longer_than_a_line_is_divided_at_the_smallest_size() -> None:
    block = block_of("Ж" * 60, "59990 Y")
    assert ("".join(block.rows), block.size) == ("Ж" * 60 + "59990 Y", 8)
    assert len(block.rows) == 3


@each_row("lines", [["Ali Öz"] * 9, ["W" * 200] * 3, ["Madame", *["Une ligne d’adresse de cinquante lettres" * 3] * 4]])
def test_an_address_without_room_is_refused_whole(lines: list[str]) -> None:
    assert address_block(lines) is None


def test_letters_of_other_scripts_keep_their_marks() -> None:
    assert block_of("Мадам Йорданка", "أحمد", "59990 Ý").rows == ["МАДАМ ЙОРДАНКА", "أحمد", "59990 Y"]


@given(st.lists(st.text(max_size=90), max_size=9))
def test_any_text_is_whole_in_the_window_or_refused(lines: list[str]) -> None:
    block = address_block(lines)
    if block is None:
        return
    assert 8 <= block.size <= 10
    assert len(block.rows) <= 8
    assert all(0 < width(row) * block.size <= WINDOW for row in block.rows)
    assert block.size == 8 or all(len(row) <= COLUMNS for row in block.rows)
    whole = "".join(lines[:-1] if len(lines) > 1 else [])
    kept = {char for char in printable(whole.upper()) if char.isascii() and char.isalnum()}
    assert kept <= {char for row in block.rows for char in row}


@each_row("town", ["---", "…", "59990\n RIVEBELLE", "\ud800", "\u202e59990 X"])
def test_an_unusual_last_line_is_accepted(town: str) -> None:
    rows = block_of("Ali Öz", "1 rue du Test", town).rows
    assert rows[0] == "ALI OZ"
    assert "1 RUE DU TEST" in rows
