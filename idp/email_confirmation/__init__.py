"""« Consultez votre messagerie »: the links that confirm a mail address, or stop its change.

Owns `/adresse/confirmation`, `/adresse/modifier`, `/adresse/lien/<token>`, `/adresse/contestation/<token>` and
`/adresse/signalement/<token>`. GET on a link shows a form and changes nothing, since mail scanners follow links; POST
acts. The holder of a link learns nothing. The page leads to the ENT's home, since the redirect URI of the original
request may be outdated.
"""
