"""The team: who invites a person of the desk, renews and ends roles, and what is told of it; `/equipe`, `idp staff`."""
