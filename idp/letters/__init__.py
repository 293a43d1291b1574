"""Letters to parents: an identifier and a provisional password on paper (OWASP ASVS 5, V 6.5.3).

The package chooses the recipients, draws the passwords, and writes the files: an accessible PDF (PDF/UA-1) with a page
or a slip for each person, and a CSV file for a mail merge. It has no page: an operator prints letters. A password in
clear is in memory, in the pipes to the processes of a pool, and on paper; the database has its argon2id hash.
"""
