"""The team: invites people of the desk, renews and ends roles, and tells others of it; `/equipe`, `idp staff`."""
