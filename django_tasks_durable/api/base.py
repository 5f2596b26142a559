"""What all views have in common: who calls, what they may see, and how refusals are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any, ClassVar
from uuid import UUID

from django.utils.cache import add_never_cache_headers
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import Serializer
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from django_tasks_durable.snapshots import places, policy, read
from django_tasks_durable.snapshots.parts import WaitSnapshot
from django_tasks_durable.snapshots.shapes import Act, RunSnapshot
from django_tasks_durable.snapshots.text import plain
from django_tasks_durable.store import audit

from . import errors
from .permissions import MayDoThis, ReadRate, WriteRate
from .schema import VIEW_SCHEMA
from .wire import ByHeader, Json, JsonBody


class TasksView(APIView):
    """A view of tasks. ``looking`` is what each call asks for, ``acting`` what is asked for beside it to change something."""

    looking: ClassVar[str] = policy.VIEW
    acting: ClassVar[str] = ""
    parser_classes = [JsonBody]
    renderer_classes = [Json]
    content_negotiation_class = ByHeader
    schema = VIEW_SCHEMA

    # --- who calls

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return DRF's own, unless the settings name others."""
        named = places.first().rest.authentication
        return super().get_authenticators() if named is None else _made(named)

    def get_permissions(self) -> list[Any]:
        """Return the library's own, unless the settings name others. What is seen and done is limited all the same."""
        named = places.first().rest.permissions
        own: list[BasePermission] = [IsAuthenticated(), MayDoThis()]
        return own if named is None else [*_made(named), MayDoThis()]

    def get_throttles(self) -> list[BaseThrottle]:
        """Return the library's own, unless the settings name others."""
        named = places.first().rest.throttles
        return [ReadRate(), WriteRate()] if named is None else _made(named)

    def permissions_for(self, method: str | None) -> list[str]:
        """Return the names of the permissions that a method asks for."""
        asked = [self.looking] if method in SAFE_METHODS else [self.looking, self.acting]
        return [each for each in asked if each]

    @property
    def by(self) -> str:
        """Who acts, for the timeline."""
        return self.request.user.get_username() or "anonymous"

    def log(self, kind: str, key: str, name: str, said: str) -> None:
        """Write an act on a queue or a schedule into the admin's history, for a user with an account, where there is one."""
        audit.enter(self.request.user, kind, key, plain(name), said)

    # --- what they see

    @cached_property
    def using(self) -> str:
        """The alias of the database."""
        return places.database()

    @cached_property
    def veil(self) -> policy.Veil:
        """What stands between this user and payloads."""
        return policy.veil(self.request.user, keys=places.redacted_keys())

    @property
    def narrow(self) -> read.Narrow:
        """What keeps the runs that this user may see."""
        return partial(policy.visible_to, self.request.user)

    def run_of(self, run_id: UUID | str) -> RunSnapshot:
        """Read a run that this user may see. Raise RunNotFound, also for somebody else's."""
        return read.one(run_id, using=self.using, narrow=self.narrow)

    def asking(self, wait: WaitSnapshot) -> Callable[[Any], Any] | None:
        """Return what shows a question to those who may answer it; None for others."""
        user = self.request.user
        may = policy.may(user, policy.PERMISSIONS[Act.RESUME]) and policy.may_answer(user, wait.permission)
        return self.veil.masked if may else None

    # --- what is answered

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Return our own, so that all refusals have one shape."""
        return errors.answer

    def shown(self, run_id: UUID | str, *, status: int = 200, **more: Any) -> Response:
        """Answer with a run as it stands."""
        run = self.run_of(run_id)
        return Response(run.as_dict(show=self.veil) | more, status=status)

    def made(self, run_id: UUID) -> Response:
        """Answer with a run that was made, and where it is found."""
        response = self.shown(run_id, status=202)
        response["Location"] = self.address("detail", run_id=str(run_id))
        return response

    def given(self, kind: type[Serializer[Any]], source: Any = None) -> Any:
        """Return what the body says, or another source. Raise ValidationError naming what is wrong."""
        read = kind(data=self.request.data if source is None else source, context={"view": self})
        read.is_valid(raise_exception=True)
        return read.validated_data

    def address(self, name: str, **kwargs: Any) -> str:
        """Return the whole address of another view of ours."""
        match = self.request.resolver_match
        namespace = match.namespace if match is not None else ""
        return str(reverse(f"{namespace}:{name}" if namespace else name, kwargs=kwargs, request=self.request))

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep what is a person's own out of caches between us and them."""
        response = super().finalize_response(request, response, *args, **kwargs)
        add_never_cache_headers(response)
        return response


def _made(paths: Iterable[str]) -> list[Any]:
    return [import_string(path)() for path in paths]
