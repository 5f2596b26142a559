# Adds two columns with defaults that the database knows: no row is rewritten, and older workers go on inserting theirs.

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("durable_tasks", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="failed_heartbeats",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="worker",
            name="deaf_because",
            field=models.CharField(blank=True, db_default="", default="", max_length=200),
        ),
    ]
