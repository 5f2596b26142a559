"""The way between our pages, and what every page of ours needs around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = object

# Each page: its name, who may see it, what it is called. Translated when it is shown.
PAGES: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("taskrun_overview", "view_taskrun", lambda: _("Overview")),
    ("taskrun_changelist", "view_taskrun", lambda: _("Tasks")),
    ("taskrun_inbox", "view_taskrun", lambda: _("Inbox")),
    ("queue_changelist", "view_queue", lambda: _("Queues")),
    ("worker_changelist", "view_worker", lambda: _("Workers")),
    ("schedule_changelist", "view_schedule", lambda: _("Schedules")),
)


@dataclass(frozen=True, kw_only=True)
class Link:
    """The way to one of our pages."""

    url: str
    label: str
    is_here: bool


class Navigated(ModelAdmin):
    """Pages with the way to the others on top, the style, and the script that keeps them fresh."""

    @property
    def media(self) -> forms.Media:
        """The style and the script of our pages; nothing of it is inline."""
        script = forms.Script("django_tasks_durable/live.js", type="module")
        return super().media + forms.Media(css={"all": ["django_tasks_durable/admin.css"]}, js=[script])  # type: ignore[list-item]

    def links(self, request: HttpRequest, here: str) -> Iterator[Link]:
        """Give the way to each page that this user may see and that there is on this site."""
        for name, permission, label in PAGES:
            if request.user.has_perm(f"durable_tasks.{permission}"):
                yield Link(url=self.to(name), label=label(), is_here=name == here)

    def to(self, name: str, *args: Any) -> str:
        """Return the address of one of our pages."""
        return reverse(f"admin:durable_tasks_{name}", args=args, current_app=self.admin_site.name)

    def framed(self, request: HttpRequest, template: str, here: str, title: str, **context: Any) -> HttpResponse:
        """Show a page of our own in the admin's frame."""
        request.current_app = self.admin_site.name
        around = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "links": list(self.links(request, here)),
            "media": self.media,
            "live_api": live_api(),
        }
        return TemplateResponse(request, template, {**around, **context})

    def part(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        """Render the part of a page that changes, for the script that looks again. Nobody keeps it."""
        response = render(request, template, context)
        response["Cache-Control"] = "no-store"
        return response

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list below the way to the other pages."""
        links = list(self.links(request, f"{self.opts.model_name}_changelist"))
        around = {"title": capfirst(self.opts.verbose_name_plural), "links": links, "live_api": live_api()}
        return super().changelist_view(request, {**around, **(extra_context or {})})


def live_api() -> str:
    """Return where this site has its API, beside which are the live doors; empty where it has none."""
    try:
        return reverse("durable_api:list")
    except NoReverseMatch:
        return ""
