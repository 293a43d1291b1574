"""Rows F, G, N-02, S-06 and S-07 of recovery. G-09 has nothing to test: there is no second factor to be asked again."""
