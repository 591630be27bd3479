"""The whole product as real processes, broken on purpose, with a ledger of what was accepted and what was received."""

import os

# The driver runs outside pytest, and names what the product's modules ask for when they are imported.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "realtime_project.settings")
os.environ.setdefault("SECRET_KEY", "a-signing-key-for-the-fault-driver-0123456789abcdef")
