"""What a task did to the world, one row per deed."""

from __future__ import annotations

from django.db import models


class Effect(models.Model):
    """One deed of a task. There is no unique constraint: a deed done twice must show as two rows."""

    name = models.CharField(max_length=200, db_index=True)
    run_id = models.UUIDField(null=True, db_index=True)
    attempt = models.IntegerField(default=0)
    value = models.TextField(default="")

    def __str__(self) -> str:
        return f"{self.name} (attempt {self.attempt})"


class Account(models.Model):
    """A balance that atomic steps move money between."""

    name = models.CharField(max_length=50, unique=True)
    balance = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.balance}"
