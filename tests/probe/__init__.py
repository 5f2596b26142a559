"""An app whose rows tell what a task really did."""
