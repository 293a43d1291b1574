"""An ENT with Django and mozilla-django-oidc."""
