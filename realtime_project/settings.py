"""Django settings, from the environment (and `.env`) with working defaults.

The settings of each app are declared, with their defaults and meaning, in its `conf.py`;
the loop at the end reads every one of them from the environment.
"""

import json
import warnings
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import environ
from django.core.exceptions import ImproperlyConfigured

from accounts.conf import AccountsSettings
from chat.conf import ChatSettings
from events.conf import EventsSettings
from knowledge.conf import KnowledgeSettings
from notifications.conf import NotificationsSettings
from plugins.conf import PluginsSettings
from realtime_project.conf import ProjectSettings
from realtime_project.logs import logging_config
from workspaces.conf import WorkspacesSettings

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(BASE_DIR / ".env")

APP_SETTINGS = (
    ProjectSettings,
    AccountsSettings,
    EventsSettings,
    WorkspacesSettings,
    NotificationsSettings,
    KnowledgeSettings,
    PluginsSettings,
    ChatSettings,
)


def read_setting(name: str, kind: Any, default: Any) -> Any:
    """A setting's value from the environment; raises `ImproperlyConfigured` when it is not of its kind."""
    try:
        # environ splits at commas for `list`; called with `list[str]` it would take the letters apart.
        return env.get_value(name, cast=get_origin(kind) or kind, default=default)
    except ValueError:
        wanted = getattr(kind, "__name__", str(kind))
        raise ImproperlyConfigured(f"The setting {name} is {env.str(name)!r}, which is no {wanted}.") from None


given: dict[str, Any] = {
    name: read_setting(name, kind, declared.__dict__[name])
    for declared in APP_SETTINGS
    for name, kind in get_type_hints(declared).items()
}
globals().update(given)

INSTALLED_APPS = [
    "realtime_project",
    "accounts",
    "events",
    "workspaces",
    "notifications",
    "knowledge",
    "plugins",
    "chat",
    "channels",
    "rest_framework",
    "corsheaders",
    "procrastinate.contrib.django",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "realtime_project.middleware.content_security_policy",
    "realtime_project.middleware.private_by_default",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "realtime_project.urls"
ASGI_APPLICATION = "realtime_project.asgi.application"
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True
# Static files come from the apps themselves; STATIC_ROOT is for those who run collectstatic for a proxy.
warnings.filterwarnings("ignore", message="No directory at")
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES: dict[str, dict[str, Any]] = {"default": env.db_url_config(given["DATABASE_URL"] or "postgres://")}
DATABASES["default"].update(
    CONN_HEALTH_CHECKS=True,
    # What the address itself asks for stays: the folder of a unix socket, sslmode.
    OPTIONS={
        # A pool waits twice as long after every failed attempt to connect. It gives up when those who wait do, and the
        # next query begins anew: after a long outage the database is found again within seconds.
        "pool": {
            "min_size": 1,
            "max_size": given["DATABASE_POOL_SIZE"],
            "timeout": 10,
            "reconnect_timeout": 10,
            # Its own threads only open and close connections: one is enough, and each process has them.
            "num_workers": 1,
        },
        "connect_timeout": 5,
    }
    | DATABASES["default"].get("OPTIONS", {}),
)
globals().update(env.email_url_config(given["EMAIL_URL"]))
DEFAULT_FROM_EMAIL = given["EMAIL_FROM"]
PUBLIC_URL: str = given["PUBLIC_URL"]
CHANNEL_LAYERS = {
    "default": {"BACKEND": "events.broker.nats_layer.NatsChannelLayer", "CONFIG": {"url": given["NATS_URL"]}}
    if given["EVENT_BROKER"] == "nats"
    else {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [given["REDIS_URL"]]}}
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.CallerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["accounts.bodies.BoundedJSONParser"],
    "EXCEPTION_HANDLER": "events.exceptions.drf_exception_handler",
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "realtime_project.schema.operations.Operation",
}
SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.0",
    # What is sent and what is answered have not the same required fields.
    "COMPONENT_SPLIT_REQUEST": True,
    # Enums stay where they are used: several fields are called `status`, and mean different things.
    "POSTPROCESSING_HOOKS": [],
}
CHAT_ENGINES: dict[str, dict[str, Any]] = json.loads(env.str("CHAT_ENGINES", "{}")) or {
    "openai": {
        "BACKEND": "chat.engines.openai.OpenAIEngine",
        "OPTIONS": {"base_url": given["OPENAI_BASE_URL"], "api_key": given["OPENAI_API_KEY"], "model": given["OPENAI_MODEL"]},
    },
    "local": {"BACKEND": "chat.engines.local.LocalEngine", "OPTIONS": {}},
    "extractive": {"BACKEND": "chat.engines.extractive.ExtractiveEngine", "OPTIONS": {}},
    "scripted": {"BACKEND": "chat.engines.scripted.ScriptedEngine", "OPTIONS": {}},
}
CORS_ALLOW_HEADERS = ["authorization", "content-type", "last-event-id", "idempotency-key", "x-csrftoken"]
CORS_EXPOSE_HEADERS = ["Retry-After", "Location", "x-workflow-run-id", "x-resumable-stream-id"]
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
# Where people come over HTTPS, no cookie may ever go without it: whoever listens would have the session.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SECURE_HSTS_SECONDS: int = given["HSTS_SECONDS"] if SESSION_COOKIE_SECURE else 0
SILENCED_SYSTEM_CHECKS = [
    # What subdomains do, and a list in browsers that hardly forgets, are for who owns the domain to decide.
    "security.W005",
    "security.W021",
    # The proxy sends people on from http to https; here a proxy that does not say so would send them in circles.
    "security.W008",
]
SESSION_COOKIE_SAMESITE = "Lax"
try:
    LOGGING = logging_config(given["LOG_FORMAT"], given["LOG_LEVEL"])
except ValueError as error:
    raise ImproperlyConfigured(str(error)) from None
