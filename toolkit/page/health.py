"""`/healthz`: whether the page can serve the next visitor, for whoever runs it; no word about visitors."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from toolkit import __version__
from toolkit.page.studio import Studio

LEAST_FREE_MB = 1000
"""A clip of the largest size that may be brought, and its result, need so much."""


def health(studio: Studio, waiting: Callable[[], int]) -> tuple[int, dict[str, object]]:
    """The status code and what is told.

    Args:
        studio: Of the page.
        waiting: How many runs wait for their turn.
    """
    try:
        free_mb = shutil.disk_usage(studio.scratch.root).free >> 20
    except OSError:
        free_mb = 0  # the folder of all visitors is gone
    problems = [] if free_mb >= LEAST_FREE_MB else ["disk"]
    told = {
        "status": "poor" if problems else "ok",
        "problems": problems,
        "version": __version__,
        "disk_free_mb": free_mb,
        "waiting": waiting(),
    }
    return (503 if problems else 200), told


def route(studio: Studio, waiting: Callable[[], int]) -> Route:
    """The address for whoever watches the page."""

    async def answer(request: Request) -> JSONResponse:
        code, told = health(studio, waiting)
        return JSONResponse(told, code, headers={"Cache-Control": "no-store"})

    return Route("/healthz", answer, methods=["GET"])
