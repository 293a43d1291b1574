"""« Consultez votre messagerie »: the link that confirms a mail address.

Owns `/adresse/confirmation`, `/adresse/modifier` and `/adresse/lien/<token>`. GET on the link shows a button and
changes nothing (mail scanners follow links), POST confirms. The holder of the link alone learns nothing, is never
signed in, and is led to the ENT's home – never to a redirect that grew stale while the mail travelled.
"""
