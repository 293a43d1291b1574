"""Rows F, G, N-02, S-06 and S-07 of recovery. G-09 has no test, because there is no second factor."""
