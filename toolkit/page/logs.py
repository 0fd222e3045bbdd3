"""Logs of the page: a line of JSON an event, with the incident that the visitor was shown, and nothing that tells who it was."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime

from toolkit.page.scratch import PREFIX

_VISITORS = re.compile(rf"[^\s'\"]*{PREFIX}[^/\s'\"]*/(?:temporary/)?[^'\"\n]*")
"""A path below the folders of visitors: it ends with the name that a visitor gave a file."""
_NAMED = re.compile(
    r"(?<=['\"\s(])[^'\"\s/()<>]+\.(?:mp4|mov|m4v|mkv|webm|avi|zip|npz|jpe?g|png|heic|tiff?|bmp|webp|gif)(?=['\"\s,.:;)])", re.I
)
"""The name of such a file alone, as messages tell it."""
_PEOPLE = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}\b", re.I)
"""Addresses of visitors."""


def without_people(text: str) -> str:
    """A text without what visitors called their files, and without their addresses.

    >>> without_people("FileNotFoundError: '/tmp/lift4d-page-x1/ab12/clip/Anna at home.mp4'")
    "FileNotFoundError: '<file>'"
    >>> without_people("Anna.mp4 is empty, said 10.0.0.7")
    'Anna.mp4 is empty, said <address>'
    """
    return _PEOPLE.sub("<address>", _NAMED.sub("<file>", _VISITORS.sub("<file>", text)))


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, message; incident and details where there are."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_people(record.getMessage()),
        }
        for name in ("incident", "job", "details"):
            value = getattr(record, name, None)
            if value is not None:
                line[name] = without_people(str(value))
        if record.exc_info:
            line["details"] = without_people(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def set_up() -> None:
    """Logs to stderr from now on: lines of JSON, or lines for a person where one looks at a terminal, or LIFT4D_LOG=text asks for it."""
    handler = logging.StreamHandler()
    asked = os.environ.get("LIFT4D_LOG", "text" if sys.stderr.isatty() else "json")
    handler.setFormatter(JsonLines() if asked == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Each request would be a line, with the address of who asked.
    for name in ("httpx", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
