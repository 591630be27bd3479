"""The settings of the server, with one other origin allowed."""

from realtime_project.settings import *  # noqa: F403

CORS_ALLOWED_ORIGINS = ["https://app.example"]
