"""What the fuzzer's tests need beside the fixtures of all tests."""

from tests.protocol.conftest import unhurried  # noqa: F401 - a fixture
