"""`idp client test`: checks an ENT before it opens."""
