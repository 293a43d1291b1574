"""One whole sign-in without a browser, every answer checked by `clients.kit`: `python -m clients.reference --once …`.

It shows an integrator, a test or a probe whether a registration works. See `clients/README.md`.
"""
