"""« Consultez votre messagerie »: the link that confirms a mail address, and the one that stops its change.

Owns `/adresse/confirmation`, `/adresse/modifier`, `/adresse/lien/<token>`, `/adresse/contestation/<token>` and
`/adresse/signalement/<token>`. GET on a link shows a button and changes nothing (mail scanners follow links), POST
acts. The holder of a link alone learns nothing, is never signed in, and is led to the ENT's home – never to a redirect
that grew stale while the mail travelled.
"""
