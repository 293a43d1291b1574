"""Long work that the desk asks for: the worker does it, with progress, cancellation and a restart after a kill."""
