"""`idp client test`: checks of an ENT before it opens."""
