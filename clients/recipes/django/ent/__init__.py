"""An ENT made with Django, whose parents sign in at the provider."""
