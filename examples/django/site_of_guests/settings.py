import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

DATA = Path(os.environ.get("DATA_DIRECTORY", "/data"))


def secret_key():
    """Made at the first start, and kept in the volume, so that sessions outlive the container."""
    if "SECRET_KEY" in os.environ:
        return os.environ["SECRET_KEY"]
    path = DATA / "secret-key"
    try:
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(get_random_secret_key())
    except FileExistsError:
        pass
    return path.read_text()


SECRET_KEY = secret_key()
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")
VERSION = os.environ.get("VERSION", "unknown")

INSTALLED_APPS = ["guestbook"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "site_of_guests.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA / "guests.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
