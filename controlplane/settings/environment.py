"""The environment variables that configure the control plane: the one list that code, docs and tests share."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: its default, which process reads it, and what it means."""

    name: str
    default: str
    read_by: str
    meaning: str


SETTINGS = (
    Setting("DATABASE_URL", "", "server", "Postgres, `postgresql://user:password@host:port/name`; may be a pooler."),
    Setting("DATABASE_DIRECT_URL", "`DATABASE_URL`", "server", "The same database without a pooler, for LISTEN."),
    Setting("DATABASE_POOL_SIZE", "20", "server", "Most connections one process holds."),
    Setting("REDIS_URL", "", "server", "Redis of the channel layer and the cache."),
    Setting(
        "COX_BROKER_URL", "database 1 of `REDIS_URL`", "server", "Broker of Celery; nodes are told it when they join."
    ),
    Setting(
        "COX_STORAGE_URL", "", "server", "Where files are kept, any fsspec URL: `file:///srv/coxswain`, `s3://bucket`."
    ),
    Setting("COX_SECRET_KEY", "", "server", "Signs sessions. At least 50 random characters in production."),
    Setting(
        "COX_SECRETS_KEYS",
        "",
        "server",
        "Comma-separated keys of 32 bytes in URL-safe base64: the first encrypts project secrets, all decrypt.",
    ),
    Setting("COX_DEBUG", "0", "server", "`1` shows debug pages; refused in production."),
    Setting("COX_ALLOWED_HOSTS", "", "server", "Comma-separated host names that requests may name."),
    Setting(
        "COX_PUBLIC_URL", "", "server", "Address people open, `https://cox.example.org`; https makes cookies secure."
    ),
    Setting(
        "COX_TRUSTED_PROXY", "0", "server", "`1` when a proxy in front sets X-Forwarded-Proto and X-Forwarded-For."
    ),
    Setting("COX_LOG_LEVEL", "INFO", "server", "Least level that is logged."),
    Setting("COX_LOG_FORMAT", "json", "server", "`json`, or `text` for people."),
    Setting("COX_MAX_JSON_BYTES", "4194304", "server", "Largest JSON body; above it a request is refused with 413."),
    Setting("COX_ELASTIC_COOLDOWN_S", "300", "server", "Seconds an elastic job trains before it may stop to grow."),
    Setting("COX_LOGIN_FAILURES", "5", "server", "Failed logins of one name from one address before it is locked out."),
    Setting("COX_LOGIN_LOCKOUT_S", "900", "server", "Seconds that a lock-out lasts."),
    Setting("COX_SESSION_S", "1209600", "server", "Seconds that a browser session lasts."),
    Setting("COX_STATIC_ROOT", "", "server", "Where `collectstatic` puts files; without it they are served in place."),
    Setting(
        "COX_SERVER_PATHS", "", "server", "Comma-separated directories that datasets may be created from in place."
    ),
    Setting(
        "COX_GIT_PROTOCOLS", "https,ssh", "server", "Comma-separated protocols that scripts may be fetched by from git."
    ),
    Setting("COX_DATA_DIR", "the user's data directory", "stack", "Everything that `cox up` writes."),
    Setting("COX_PORT", "8700", "stack", "Port of the web server of `cox up`; cookies of two stacks differ by it."),
    Setting("COX_HOST", "127.0.0.1", "stack", "Address that the web server of `cox up` listens on."),
    Setting(
        "COX_URL", "what `cox login` stored", "client", "Control plane that `cox`, the Python client and workers use."
    ),
    Setting("COX_TOKEN", "what `cox login` stored", "client", "API token of `cox` and the Python client."),
    Setting("COX_JOIN_TOKEN", "", "agent", "Join token of `cox worker start`, for its first start alone."),
    Setting("COX_CACHE_GIB", "50", "agent", "Room for fetched datasets, models and checkpoints on the node."),
    Setting("COX_RUNTIME_CACHE_GIB", "50", "agent", "Room for tokenizers and packed data that jobs share on the node."),
    Setting("COX_STOP_GRACE_S", "300", "agent", "Seconds a job asked to stop may take before SIGTERM, then SIGKILL."),
    Setting("COX_RANK_STOPPED_S", "15", "agent", "Seconds a rank may be stopped by a signal (SIGSTOP); 0: for ever."),
    Setting("COX_RANK_STALLED_S", "120", "agent", "Seconds ranks may be silent within a training step; 0: for ever."),
    Setting(
        "COX_COLLECTIVE_TIMEOUT_S", "600", "agent", "Seconds a rank waits for its peers, which may validate or save."
    ),
)

_BY_NAME = {setting.name: setting for setting in SETTINGS}


def text(name: str) -> str:
    """Return a variable, or its default (a default in words is left to the caller and reads as empty)."""
    setting = _BY_NAME[name]
    default = "" if "`" in setting.default or " " in setting.default else setting.default
    return os.environ.get(name) or default


def flag(name: str) -> bool:
    """Return whether a variable is ``1``."""
    return text(name) == "1"


def number(name: str) -> int:
    """Return a variable as a whole number.

    Raises:
        ValueError: it is none.
    """
    value = text(name)
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{name} must be a whole number, not {value!r}") from None


def names(name: str) -> list[str]:
    """Return a comma-separated variable as a list."""
    return [part.strip() for part in text(name).split(",") if part.strip()]


def as_table() -> str:
    """Return the Markdown table of the documentation."""
    rows = [f"| `{s.name}` | {s.default or '(none)'} | {s.read_by} | {s.meaning} |" for s in SETTINGS]
    return "\n".join(["| Variable | Default | Read by | Meaning |", "| --- | --- | --- | --- |", *rows])
