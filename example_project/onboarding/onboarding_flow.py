# Generated from onboarding.json. Do not edit: change the flow, then `manage.py startworkflow onboarding.json`.
# flow 4be291f85b9e3d4ad94d6aced3bd39762c56894faeee6445a7503b4115283cf9
# code d266d1f2ccd8ee93b9438d5829614a67b5c627a0aa083f1bb7e3975aab25ec55
# fmt: off
"""The control flow of onboarding."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django_tasks_durable import Workflow, transition


class OnboardingFlow(Workflow, abstract=True):
    """Register a user, welcome them, and remind them once when their profile is not
    complete after three days.
    """

    @dataclass(kw_only=True)
    class State:
        """What a run keeps."""

        email: str
        # What was sent, for everybody to see.
        mails: list[Any] = field(default_factory=list)
        user_id: Any = None
        profile_complete: bool = False

    state: State

    @transition("register-user", to=["send-welcome"], start=True)
    def at_register_user(self) -> str | None:
        """Give the user an id."""
        self.state.user_id = self.step(
            "register-user",
            self.register_user,
            email=self.state.email,
        )
        return "send-welcome"

    @transition("send-welcome", to=["profile_completed"])
    def at_send_welcome(self) -> str | None:
        """Welcome the user by mail."""
        self.state.mails = self.step(
            "send-welcome",
            self.send_welcome,
            email=self.state.email,
            mails=self.state.mails,
        )
        return "profile_completed"

    @transition("profile_completed", to=["is-profile-complete"])
    def at_profile_completed(self) -> str | None:
        """Wait until the user says that the profile is complete, or three days."""
        self.state.profile_complete = self.wait(
            "profile_completed",
            {"user_id": self.state.user_id},
            timeout=timedelta(days=3),
            default=False,
        )
        return "is-profile-complete"

    @transition("is-profile-complete", to=[None, "send-reminder"])
    def at_is_profile_complete(self) -> str | None:
        """Is profile complete."""
        if self.state.profile_complete:
            return None
        return "send-reminder"

    @transition("send-reminder", to=[None])
    def at_send_reminder(self) -> str | None:
        """Remind the user by mail."""
        self.state.mails = self.step(
            "send-reminder",
            self.send_reminder,
            email=self.state.email,
            mails=self.state.mails,
        )
        return None

    # --- what Onboarding does, in onboarding.py

    def register_user(self, *, email: str) -> Any:
        """Give the user an id."""
        raise NotImplementedError("Write Onboarding.register_user().")

    def send_welcome(self, *, email: str, mails: list[Any]) -> list[Any]:
        """Welcome the user by mail."""
        raise NotImplementedError("Write Onboarding.send_welcome().")

    def send_reminder(self, *, email: str, mails: list[Any]) -> list[Any]:
        """Remind the user by mail."""
        raise NotImplementedError("Write Onboarding.send_reminder().")
