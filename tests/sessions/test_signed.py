"""Signed values: what a browser keeps for us comes back unchanged, for one purpose, for a time."""

from datetime import timedelta

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from idp import signed
from idp.clock import now
from idp.signed import InvalidValueError, Signer
from tests.rows import each_row

KEY, FORMER = b"k" * 43, b"f" * 43
SIGNER = Signer((KEY,), "test")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_a_value_comes_back_with_the_time_of_its_signature(value: object) -> None:
    text = SIGNER.dumps(value)
    assert text.replace("-", "").replace("_", "").replace(".", "").isalnum(), "it needs no encoding in a URL"
    read, signed_at = SIGNER.loads(text, 60)
    assert read == value
    assert timedelta(0) <= now() - signed_at < timedelta(seconds=5)


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_a_changed_text_is_refused(place: int, other: str) -> None:
    text = SIGNER.dumps({"b": "value"})
    at = place % len(text)
    changed = text[:at] + other + text[at + 1 :]
    if changed != text:
        try:
            assert SIGNER.loads(changed)[0] == {"b": "value"}, "only unused bits of the last letter of the signature"
            assert at == len(text) - 1
        except InvalidValueError:
            pass


@given(st.text() | st.binary().map(lambda value: value.decode("latin-1")))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        SIGNER.loads(text)


def test_a_value_serves_one_purpose_and_one_key() -> None:
    text = SIGNER.dumps("value")
    for stranger in (Signer((KEY,), "another"), Signer((FORMER,), "test")):
        with pytest.raises(InvalidValueError):
            stranger.loads(text)


def test_values_under_a_former_key_are_read_and_not_written() -> None:
    both = Signer((KEY, FORMER), "test")
    assert both.loads(Signer((FORMER,), "test").dumps("value"))[0] == "value"
    assert SIGNER.loads(both.dumps("value"))[0] == "value"


@each_row(("seconds", "is_read"), [(60, True), (61, False), (-1, True), (-300, True), (-301, False), (-86_400, False)])
def test_a_value_is_read_for_a_time_and_by_a_clock_that_is_five_minutes_behind(
    seconds: int,
    is_read: bool,  # noqa: FBT001 - a parameter
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        text = SIGNER.dumps("value")
        clock.shift(seconds)
        if is_read:
            assert SIGNER.loads(text, 60)[0] == "value"
        else:
            with pytest.raises(InvalidValueError):
                SIGNER.loads(text, 60)
        assert SIGNER.loads(text)[0] == "value", "without a limit it has no age"


def test_signers_of_one_purpose_are_kept() -> None:
    assert signed.signer((KEY,), "test") is signed.signer((KEY,), "test")
