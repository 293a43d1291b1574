"""The fixtures of the fuzzer's tests."""

from tests.protocol.conftest import unhurried  # noqa: F401 - a fixture
