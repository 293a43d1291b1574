"""The authorization endpoint: checks of a request, pushed requests, the dispatcher and its responses (Core 3.1.2)."""
