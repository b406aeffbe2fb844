"""Files of a repository on the Hugging Face hub, by way of huggingface_hub where it is installed."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from roofline.catalog.huggingface.checkpoint import INDEX
from roofline.catalog.huggingface.model import CONFIG, QUANTISED
from roofline.errors import RooflineError

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
SECONDS = 5.0  # after which a hub that does not answer is given up
PORT = 443
ELSEWHERE = f"download {CONFIG} where there is a network, and name the file"


def is_name(text: str) -> bool:
    """Whether a text has the form of a repository's name.

    >>> is_name("Qwen/Qwen3-8B"), is_name("./config.json"), is_name("a/b/config.json")
    (True, False, False)
    """
    return NAME.fullmatch(text) is not None


def url(name: str) -> str:
    """Where a repository's configuration is read by people."""
    return f"https://huggingface.co/{name}/blob/main/{CONFIG}"


def fetched(name: str) -> Path:
    """A repository's configuration as a local file, with what tells of its weights beside it.

    `RooflineError` where the library is not installed, the hub can't be reached, or has no such repository.
    """
    try:
        from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError:
        raise RooflineError(
            f"{name}: no such file or folder; to read it from the Hugging Face hub: pip install 'roofline[hub]'"
        ) from None
    if not _answers(constants.ENDPOINT):
        kept = try_to_load_from_cache(name, CONFIG)
        if isinstance(kept, str):
            return Path(kept)
        raise RooflineError(f"{name}: {constants.ENDPOINT} does not answer; {ELSEWHERE}")
    try:
        found = Path(hf_hub_download(name, CONFIG, etag_timeout=SECONDS))
        for other in (INDEX, QUANTISED):
            try:
                hf_hub_download(name, other, etag_timeout=SECONDS)
            except EntryNotFoundError:
                continue
    except Exception as error:  # the library raises what its transport does, whichever that is
        reason = str(error).strip().splitlines()
        raise RooflineError(
            f"{name}: can't be read from the Hugging Face hub: {type(error).__name__}"
            f"{': ' + reason[0][:200] if reason else ''}; {ELSEWHERE}"
        ) from None
    return found


def _answers(endpoint: str) -> bool:
    """Whether a server can be reached at all: the library itself tries five times, for half a minute. What a proxy
    reaches is left to the library."""
    address = urlsplit(endpoint)
    if getproxies().get(address.scheme):
        return True
    try:
        with socket.create_connection((address.hostname or "", address.port or PORT), timeout=SECONDS):
            return True
    except OSError:
        return False
