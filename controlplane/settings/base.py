"""Settings that every deployment shares. What differs between deployments comes from the environment."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

from apps.core.logs import configure_structlog, logging_config
from controlplane.settings import environment as env
from workers.contract.queues import CONTROL_QUEUE

BASE_DIR = Path(__file__).resolve().parents[2]


def database(url: str) -> dict[str, object]:
    """Translate ``postgresql://user:password@host:port/name`` (or ``?host=/socket/dir``) for Django."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    options: dict[str, object] = {
        "pool": {"min_size": 1, "max_size": env.number("DATABASE_POOL_SIZE"), "timeout": 10},
        "connect_timeout": 5,
    }
    options |= {key: query[key] for key in ("sslmode", "sslrootcert", "application_name") if key in query}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.get("host") or unquote(parts.hostname or ""),
        "PORT": str(parts.port or query.get("port", "")),
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": 0,  # the pool keeps connections
        "CONN_HEALTH_CHECKS": True,  # the pool tests each before lending it: a restart of Postgres heals by itself
        "OPTIONS": options,
    }


def default_broker(redis_url: str) -> str:
    """Return database 1 of the server that ``redis_url`` names."""
    return urlsplit(redis_url)._replace(path="/1").geturl() if redis_url else ""


# Addresses ----------------------------------------------------------------------------------------------------------
DATABASE_URL = env.text("DATABASE_URL")
DATABASE_DIRECT_URL = env.text("DATABASE_DIRECT_URL") or DATABASE_URL
REDIS_URL = env.text("REDIS_URL")
BROKER_URL = env.text("COX_BROKER_URL") or default_broker(REDIS_URL)
STORAGE_URL = env.text("COX_STORAGE_URL")
PUBLIC_URL = env.text("COX_PUBLIC_URL")
GIT_PROTOCOLS = env.names("COX_GIT_PROTOCOLS")
SERVER_PATHS = env.names("COX_SERVER_PATHS")
ELASTIC_COOLDOWN_S = env.number("COX_ELASTIC_COOLDOWN_S")
_IS_HTTPS = PUBLIC_URL.startswith("https://")

# Django -------------------------------------------------------------------------------------------------------------
SECRET_KEY = env.text("COX_SECRET_KEY")
SECRETS_KEYS = env.names("COX_SECRETS_KEYS")
DEBUG = env.flag("COX_DEBUG")
ALLOWED_HOSTS = env.names("COX_ALLOWED_HOSTS")
ROOT_URLCONF = "controlplane.urls"
ASGI_APPLICATION = "controlplane.asgi.application"
DATABASES = {"default": database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
APPEND_SLASH = False

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin.apps.SimpleAdminConfig",  # controlplane.urls discovers: scheduler and worker have no console
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "axes",
    "csp",
    "channels",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "apps.core",
    "apps.accounts",
    "apps.cluster",
    "apps.projects",
    "apps.secrets",
    "apps.storage",
    "apps.datasets",
    "apps.model_registry",
    "apps.jobs",
    "apps.telemetry",
    "apps.lifecycle",
]

MIDDLEWARE = [
    "apps.core.request_id.RequestIdMiddleware",
    "apps.core.problems.ProblemMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "apps.core.one_thread.OneThreadMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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

# Static files: the front end's build under /static/app/, the admin console's and Swagger's beside it ----------------
FRONTEND_DIST = BASE_DIR / "frontend" / "dist"
STATIC_URL = "/static/"
STATIC_ROOT = env.text("COX_STATIC_ROOT") or None
STATICFILES_DIRS = [("app", FRONTEND_DIST)] if FRONTEND_DIST.is_dir() else []
DOCS_SITE = BASE_DIR / "site"
WHITENOISE_USE_FINDERS = True
WHITENOISE_IMMUTABLE_FILE_TEST = r"^/static/app/assets/.+-[A-Za-z0-9_-]{8,}\.\w+$"

# Sign-in ------------------------------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/login"
AXES_FAILURE_LIMIT = env.number("COX_LOGIN_FAILURES")
AXES_COOLOFF_TIME = timedelta(seconds=env.number("COX_LOGIN_LOCKOUT_S"))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # together: nobody locks another person out from elsewhere
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_CALLABLE = "apps.accounts.lockout.answer_locked_out"
AXES_VERBOSE = False

# Cookies do not know ports: the port in their names keeps two stacks on one host apart
_COOKIE_SUFFIX = f"_{env.text('COX_PORT')}"
SESSION_COOKIE_NAME = f"cox_session{_COOKIE_SUFFIX}"
SESSION_COOKIE_AGE = env.number("COX_SESSION_S")
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = _IS_HTTPS
CSRF_COOKIE_NAME = f"cox_csrf{_COOKIE_SUFFIX}"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = _IS_HTTPS
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL.rstrip("/")] if PUBLIC_URL else []

# What browsers may do with our pages --------------------------------------------------------------------------------
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
if env.flag("COX_TRUSTED_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        # eval: the form's schema validator and the admin console's toolkit compile expressions; sources stay our own
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF, "data:"],
        "connect-src": [SELF],
        "worker-src": [SELF, "blob:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# Limits of requests: files go through the upload protocol, part by part, and never through these ---------------------
DATA_UPLOAD_MAX_MEMORY_SIZE = env.number("COX_MAX_JSON_BYTES")
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000

# REST ---------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.TokenAuthentication",  # first: its challenge makes anonymous a 401
        "apps.accounts.authentication.BrowserAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "apps.accounts.permissions.TokenScopeAllows",
        "apps.accounts.permissions.WorkspaceRoleAllows",
    ],
    "DEFAULT_PARSER_CLASSES": ["apps.core.parsers.JsonParser"],
    "DEFAULT_RENDERER_CLASSES": ["apps.core.renderers.JsonRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "apps.core.renderers.AlwaysJson",
    "DEFAULT_PAGINATION_CLASS": "apps.core.pagination.CursorPagination",
    "DEFAULT_FILTER_BACKENDS": [
        "apps.core.filters.StrictFilterBackend",
        "apps.core.filters.StrictOrderingFilter",
    ],
    "DEFAULT_SCHEMA_CLASS": "apps.core.schema.ApiSchema",
    "EXCEPTION_HANDLER": "apps.core.problems.drf_exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "TEST_REQUEST_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "URL_FORMAT_OVERRIDE": None,
    "UNICODE_JSON": True,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Coxswain",
    "DESCRIPTION": "Control plane for distributed LLM training and compression.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1/",
    "PREPROCESSING_HOOKS": ["apps.core.schema.only_api_for_people"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.core.schema.add_problems",
    ],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "JobKind": "apps.jobs.state.KIND_CHOICES",
        "JobState": "apps.jobs.state.JobState",
        "AttemptState": "apps.jobs.state.AttemptState",
        "AttemptOutcome": "apps.jobs.state.AttemptOutcome",
        "DatasetVersionState": "apps.datasets.models.VersionState",
        "DatasetFormat": "apps.datasets.models.DatasetFormat",
        "DeviceKind": "apps.cluster.models.DeviceKind",
        "ModelStage": "apps.model_registry.models.Stage",
        "Role": "apps.accounts.models.Role",
        "TokenScope": "apps.accounts.models.Scope",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False, "deepLinking": True},
}

# Background work: hints on the broker, never the truth ---------------------------------------------------------------
CELERY_BROKER_URL = BROKER_URL
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = CONTROL_QUEUE
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_TASK_TIME_LIMIT = 3600
CELERY_TASK_SOFT_TIME_LIMIT = 3500
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for the broker for as long as it takes
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 30, "max_retries": 1}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2}

CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

# Logs ---------------------------------------------------------------------------------------------------------------
configure_structlog()
LOGGING = logging_config(env.text("COX_LOG_LEVEL").upper(), as_json=env.text("COX_LOG_FORMAT") == "json")

# Admin console ------------------------------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": "Coxswain",
    "SITE_HEADER": "Coxswain",
    "SITE_SUBHEADER": "Administration",
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
}
