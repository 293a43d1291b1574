"""Client registration: by an engineer, or by the client itself with an invitation (RFC 7591, RFC 7592).

`metadata` declares the fields of a client and `checks` holds the rules. `options`, `json_metadata` and `rows` read and
write the fields; `registrations` makes and changes clients. The folder `trial` checks an ENT before it opens.
"""
