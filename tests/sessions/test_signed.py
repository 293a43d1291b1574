"""Signed values: what a browser keeps for us comes back unchanged, for one purpose, for a time."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp import signed
from idp.clock import now
from idp.signed import InvalidValueError, Signer

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


def test_an_old_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = SIGNER.dumps("value")
    later = int(now().timestamp()) + 61
    monkeypatch.setattr("itsdangerous.timed.TimestampSigner.get_timestamp", lambda _self: later)
    with pytest.raises(InvalidValueError):
        SIGNER.loads(text, 60)
    assert SIGNER.loads(text)[0] == "value"


def test_signers_of_one_purpose_are_kept() -> None:
    assert signed.signer((KEY,), "test") is signed.signer((KEY,), "test")
