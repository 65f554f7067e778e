"""Settings of both processes, from the environment and `.env`: shared ones, and those of each process."""

from app.config.api import ApiSettings
from app.config.loading import load_settings
from app.config.shared import Settings, SupabaseSettings
from app.config.values import CALLER_NAME, DEFAULT_CALLER, SYSTEM, is_legacy_jwt
from app.config.worker import WorkerSettings

__all__ = [
    "CALLER_NAME",
    "DEFAULT_CALLER",
    "SYSTEM",
    "ApiSettings",
    "Settings",
    "SupabaseSettings",
    "WorkerSettings",
    "is_legacy_jwt",
    "load_settings",
]
