"""Settings of the django-eventstream project, as its README has them."""

import os

import environ

SECRET_KEY = "a-benchmark-needs-no-secret"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django_eventstream"]
ROOT_URLCONF = "benchmarks.peers.eventstream.urls"
USE_TZ = True
EVENTSTREAM_REDIS = {"host": "127.0.0.1", "port": int(os.environ["REDIS_URL"].rsplit(":", 1)[1].split("/")[0]), "db": 0}
DATABASES = {"default": environ.Env().db_url_config(os.environ["DATABASE_URL"])}
if os.environ.get("EVENTSTREAM_STORAGE"):
    EVENTSTREAM_STORAGE_CLASS = "django_eventstream.storage.DjangoModelStorage"
