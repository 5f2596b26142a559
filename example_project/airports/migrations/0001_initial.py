from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="ChunkWrite",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("run", models.UUIDField(db_index=True)),
                ("chunk", models.PositiveIntegerField()),
                ("attempt", models.PositiveIntegerField()),
            ],
            options={
                "ordering": ("id",),
            },
        ),
        migrations.CreateModel(
            name="Airport",
            fields=[
                (
                    "icao",
                    models.CharField(
                        help_text="Or the national code, where there is no ICAO code.",
                        max_length=4,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ICAO code",
                    ),
                ),
                ("iata", models.CharField(blank=True, default="", max_length=3, verbose_name="IATA code")),
                ("lid", models.CharField(blank=True, default="", max_length=7, verbose_name="FAA identifier")),
                ("name", models.CharField(max_length=120)),
                ("city", models.CharField(blank=True, default="", max_length=120)),
                ("subdivision", models.CharField(blank=True, default="", max_length=120)),
                ("country", models.CharField(max_length=2)),
                ("elevation_feet", models.FloatField()),
                ("latitude", models.FloatField()),
                ("longitude", models.FloatField()),
                ("time_zone", models.CharField(max_length=64)),
                (
                    "doubts",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Why this row is doubtful, if a person decided to mark it.",
                        max_length=60,
                    ),
                ),
                ("run", models.UUIDField(help_text="The task run that wrote this row last.")),
            ],
            options={
                "ordering": ("icao",),
                "indexes": [models.Index(fields=["run", "country"], name="airports_run_country")],
            },
        ),
    ]
