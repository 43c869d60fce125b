"""``croft healthcheck``: exit 0 if the service on this machine is ready, for containers."""

import argparse
import json
import sys
import urllib.error
import urllib.request
from typing import Final

from service.settings import Settings, read_settings

_TIMEOUT_SECONDS: Final = 4.0
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--url", help="of the service (default: from CROFT_HOST and CROFT_PORT)")


def run(args: argparse.Namespace) -> int:
    """Ask /readyz, through no proxy; 0 if ready, 1 and the reason if not."""
    url = (args.url or _own_url(read_settings())).rstrip("/") + "/readyz"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=_TIMEOUT_SECONDS):
            return 0
    except urllib.error.HTTPError as error:
        with error:
            reason = _detail(error.read())
    except OSError as error:
        reason = f"{url} does not answer: {error}"
    sys.stderr.write(f"croft: not ready: {reason}\n")
    return 1


def _own_url(settings: Settings) -> str:
    host = _ANY_ADDRESS.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{host}:{settings.port}"


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return "the answer is not from a Croft service"
