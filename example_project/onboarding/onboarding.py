"""What onboarding does; when it does that is said by onboarding_flow.py."""

from __future__ import annotations

from hashlib import sha256

from .onboarding_flow import OnboardingFlow


class Onboarding(OnboardingFlow):
    """The tasks of onboarding.

    A mail is a line in the state, for everybody to see; a real project sends it here.
    """

    def register_user(self, *, email: str) -> str:
        """Give the user an id."""
        return f"user-{sha256(email.encode()).hexdigest()[:8]}"

    def send_welcome(self, *, email: str, mails: list[str]) -> list[str]:
        """Welcome the user by mail."""
        return [*mails, f"To {email}: Welcome!"]

    def send_reminder(self, *, email: str, mails: list[str]) -> list[str]:
        """Remind the user by mail."""
        return [*mails, f"To {email}: Your profile waits for you."]
