from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.mail.emails import MAX_LENGTH, EmailFault, InvalidEmailError, check_recipient, fold_email, parse_email
from tests.rows import each_row


@pytest.mark.row("M-06")
@each_row(
    ("typed", "stored"),
    [
        ("marie@orange.fr", "marie@orange.fr"),
        ("  marie@orange.fr ", "marie@orange.fr"),
        ("\u00a0marie@orange.fr\u200b", "marie@orange.fr"),
        ("Marie.Leroy@Orange.FR", "Marie.Leroy@orange.fr"),
        ("marie+ecole@exemple.test", "marie+ecole@exemple.test"),
        ("o'neill_4@sous.domaine.exemple.fr", "o'neill_4@sous.domaine.exemple.fr"),
        ("marie@école.fr", "marie@xn--cole-9oa.fr"),
        ("marie@ÉCOLE.fr", "marie@xn--cole-9oa.fr"),
        ("marie@xn--cole-9oa.fr", "marie@xn--cole-9oa.fr"),
        ("marie@оrange.fr", "marie@xn--range-iye.fr"),  # the first letter is Cyrillic
    ],
)
def test_an_address_is_stored_as_typed_with_a_plain_domain(typed: str, stored: str) -> None:
    assert parse_email(typed) == stored
    assert parse_email(stored) == stored
    assert check_recipient(stored) == stored


@pytest.mark.row("M-06")
@each_row(
    ("typed", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("marie", "incomplete"),
        ("marie@", "incomplete"),
        ("@orange.fr", "incomplete"),
        ("marie@orange", "incomplete"),
        ("marie@localhost", "incomplete"),
        ("marie@orange.", "incomplete"),
        ("hélène@orange.fr", "not_ascii"),
        ("mаrie@orange.fr", "not_ascii"),  # the second letter is Cyrillic
        ("a@b.fr, c@d.fr", "invalid"),
        ("a@b.fr;c@d.fr", "invalid"),
        ("a@b.fr c@d.fr", "invalid"),
        ("a@b@c.fr", "invalid"),
        ("marie@orange.fr.", "invalid"),
        ("marie.@orange.fr", "invalid"),
        ("ma..rie@orange.fr", "invalid"),
        ("marie@orange..fr", "invalid"),
        ("marie@-orange.fr", "invalid"),
        ("marie@[127.0.0.1]", "invalid"),
        ("marie@127.0.0.1", "invalid"),
        ('"x y"@d.fr', "invalid"),
        ('"x"@d.fr', "invalid"),
        ("<a@b.fr>", "invalid"),
        ("Marie <a@b.fr>", "invalid"),
        ("mailto:a@b.fr", "invalid"),
        ("a@b.fr\r\nBcc: x@evil.test", "invalid"),
        ("a@b.fr\n", "invalid"),
        ("a@b.fr\x00", "invalid"),
        ("a\x00@b.fr", "invalid"),
        ("a\u202e@b.fr", "invalid"),
        ("a@b\u200d.fr", "invalid"),
        ("a@b.fr\ud800", "invalid"),
        ("a" * 65 + "@b.fr", "invalid"),
        ("a@" + "b" * 64 + ".fr", "invalid"),
        ("a@" + "b." * 125 + "fr.fr", "too_long"),
        ("é" * 255, "too_long"),
        ("a@" + "é." * 60 + "fr", "invalid"),  # short as typed, too long when encoded
    ],
)
def test_invalid_address_is_refused_with_its_reason(typed: str, reason: str) -> None:
    with pytest.raises(InvalidEmailError) as refused:
        parse_email(typed)
    assert refused.value.reason == EmailFault(reason)
    assert "@" not in str(refused.value)


@pytest.mark.row("M-06")
def test_the_longest_address_is_accepted_and_one_character_more_is_not() -> None:
    longest = "a" * 63 + "@" + ".".join(["b" * 62, "b" * 62, "b" * 61]) + ".fr"
    assert len(longest) == MAX_LENGTH
    assert parse_email(longest) == longest
    with pytest.raises(InvalidEmailError, match="too_long"):
        parse_email(longest.replace("@", "a@"))


@pytest.mark.row("M-06")
@each_row("sign", ["a", "é", " ", "@", "\u0345", "\U0001d504"])
def test_a_huge_text_is_refused_quickly(sign: str) -> None:
    class Unread(str):
        """A text that allows only `len`."""

        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"looked at: {name}")

        def __iter__(self) -> Any:
            raise AssertionError("read")

    with pytest.raises(InvalidEmailError, match="too_long"):
        parse_email(Unread(sign * 400_000))


@pytest.mark.row("S-01")
@each_row(
    "email",
    ["a@b.test, x@evil.test", "a@b.test\r\nBcc:x", "a@b.test\x00", "<a@b.test>", '"a"@b.test', " a@b.test", "a@B.test"],
)
def test_a_recipient_is_exactly_one_stored_address(email: str) -> None:
    with pytest.raises(InvalidEmailError):
        check_recipient(email)


@pytest.mark.row("M-06")
def test_capital_letters_do_not_make_another_address_for_the_caps() -> None:
    assert fold_email("Marie.LEROY@orange.fr") == fold_email("marie.leroy@orange.fr")
    assert fold_email("marie@orange.fr") != fold_email("marie@free.fr")


@pytest.mark.row("M-06")
@given(st.text(max_size=330) | st.from_regex(r"\A[^@]{0,20}@[^@]{0,40}\Z"))
def test_arbitrary_text_is_a_valid_address_or_is_refused(typed: str) -> None:
    try:
        stored = parse_email(typed)
    except InvalidEmailError:
        return
    assert stored.isascii()
    assert stored.isprintable()
    assert check_recipient(stored) == stored
