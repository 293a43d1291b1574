"""The conformance suite of the store: what each request does and refuses."""
