"""The pages: one for everybody, one for parents, one for sign-ins that did not work."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def home(request: HttpRequest) -> HttpResponse:
    """Show the home page."""
    return render(request, "ent/home.html")


@login_required
def inside(request: HttpRequest) -> HttpResponse:
    """Show what parents alone see."""
    return render(request, "ent/inside.html", {"children": request.session.get("children", [])})


def failed(request: HttpRequest) -> HttpResponse:
    """Say that the sign-in did not work."""
    return render(request, "ent/failed.html", status=400)
