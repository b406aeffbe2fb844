"""Files of a repository on the Hugging Face hub, by way of huggingface_hub where it is installed."""

from __future__ import annotations

import re
from pathlib import Path

from roofline.catalog.huggingface.checkpoint import INDEX
from roofline.catalog.huggingface.model import CONFIG, QUANTISED
from roofline.errors import RooflineError

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
SECONDS = 5.0  # after which a hub that does not answer is given up


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
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError:
        raise RooflineError(
            f"{name}: no such file or folder; to read it from the Hugging Face hub: pip install 'roofline[hub]'"
        ) from None
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
            f"{': ' + reason[0][:200] if reason else ''}; download {CONFIG} where there is a network, and name the file"
        ) from None
    return found
