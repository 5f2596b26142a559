"""What the import writes."""

from __future__ import annotations

from django.db import models


class Airport(models.Model):
    """An airport or landing strip, as the last import that saw it wrote it."""

    icao = models.CharField(
        "ICAO code", primary_key=True, max_length=4, help_text="Or the national code, where there is no ICAO code."
    )
    iata = models.CharField("IATA code", max_length=3, blank=True, default="")
    lid = models.CharField("FAA identifier", max_length=7, blank=True, default="")
    name = models.CharField(max_length=120)
    city = models.CharField(max_length=120, blank=True, default="")
    subdivision = models.CharField(max_length=120, blank=True, default="")
    country = models.CharField(max_length=2)
    elevation_feet = models.FloatField()
    latitude = models.FloatField()
    longitude = models.FloatField()
    time_zone = models.CharField(max_length=64)
    doubts = models.CharField(
        max_length=60, blank=True, default="", help_text="Why this row is doubtful, if a person decided to mark it."
    )
    run = models.UUIDField(help_text="The task run that wrote this row last.")

    class Meta:
        ordering = ("icao",)
        indexes = [models.Index(fields=("run", "country"), name="airports_run_country")]

    def __str__(self) -> str:
        return f"{self.icao} {self.name}"


class ChunkWrite(models.Model):
    """A witness: one row for each time that a chunk was written.

    There is no unique constraint on purpose: if a chunk is ever written twice, this table shows it.
    """

    run = models.UUIDField(db_index=True)
    chunk = models.PositiveIntegerField()
    attempt = models.PositiveIntegerField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"chunk {self.chunk}, attempt {self.attempt}"
