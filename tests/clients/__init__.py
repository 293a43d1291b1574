"""The sample ENT against a small provider that can lie."""
