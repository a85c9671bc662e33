#!/bin/sh
set -eu
python3 manage.py migrate --no-input
exec "$@"
