"""Links into a run, for whoever holds them: signed, so that nobody else can make one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.signing import BadSignature, Signer

from django_tasks_durable.exceptions import BadLink

APPROVAL = "approval"
WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a link leads to: the question at a path of a run. ``kind`` says for whom it is: a person or a program."""

    kind: str
    run_id: UUID
    path: str
    backend: str
    expires_at: datetime | None = None

    def sign(self) -> str:
        """Return the text that stands in the address."""
        expires = self.expires_at.isoformat() if self.expires_at is not None else None
        return _signer(self.kind).sign_object([self.run_id.hex, self.path, self.backend, expires])


def read(kind: str, signed: str) -> Link:
    """Return the link of an address. Raise BadLink for one that nobody here has signed, or for another kind."""
    try:
        told: Any = _signer(kind).unsign_object(signed)
        run_id, path, backend, expires = told
        return Link(
            kind=kind,
            run_id=UUID(run_id),
            path=path,
            backend=backend,
            expires_at=datetime.fromisoformat(expires) if expires is not None else None,
        )
    except (BadSignature, ValueError, TypeError) as error:
        raise BadLink from error


def _signer(kind: str) -> Signer:
    return Signer(salt=f"django_tasks_durable.{kind}")
