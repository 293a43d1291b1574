"""One sign-in without a browser, checked by `clients.kit`: `python -m clients.reference --once …`.

It tests whether a registration works. See `clients/README.md`.
"""
