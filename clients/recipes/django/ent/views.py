"""The pages: the home page, a page for parents, and the page for a failed sign-in."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def home(request: HttpRequest) -> HttpResponse:
    """Show the home page."""
    return render(request, "ent/home.html")


@login_required
def inside(request: HttpRequest) -> HttpResponse:
    """Show the page for parents."""
    return render(request, "ent/inside.html", {"children": request.session.get("children", [])})


def failed(request: HttpRequest) -> HttpResponse:
    """Show the page for a failed sign-in."""
    return render(request, "ent/failed.html", status=400)
