"""The routes; those under `/oidc/` belong to the library."""

from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("espace", views.inside, name="inside"),
    path("connexion-impossible", views.failed, name="failed"),
    path("oidc/", include("mozilla_django_oidc.urls")),
]
