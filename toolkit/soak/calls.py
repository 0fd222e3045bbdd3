"""Calls that no honest program makes of a page: wrong types, huge numbers, paths of the server, unknown names, bodies that are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

_API = "gradio_api"
_ANSWER_S = 90.0  # to one call, on a busy machine
_LONGEST_SENTENCE = 600
_SIGNS_OF_A_FAULT = ("Traceback", 'File "', "mistake of ours")

Uploaded = Callable[[], Any]
"""A file of the visitor's own, uploaded, as an endpoint takes it."""


@dataclass(frozen=True)
class Call:
    """One request, or a call of an endpoint, which is two.

    Attributes:
        number: Which one.
        told: What it is, for a person.
        method: Of the request.
        path: Below the page's address.
        body: Bytes of the request.
        headers: Of the request.
        endpoint: Whose answer is fetched afterwards; None for a plain request.
    """

    number: int
    told: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    endpoint: str | None = None


@dataclass(frozen=True)
class Answer:
    """What became of a call.

    Attributes:
        call: The call.
        outcome: "answered", "told" (a sentence) and "refused" (4xx) are good; "fault", "silent", "leaked", "late" and "broken" are not.
        text: What came back.
    """

    call: Call
    outcome: str
    text: str

    @property
    def good(self) -> bool:
        """Whether it did no harm and was told why it can't be served."""
        return self.outcome in ("answered", "told", "refused")


def write_call(number: int, seed: int, clip: Any, secret: str) -> Call:
    """A hostile call; the same number of the same seed is the same call.

    Args:
        number: Which one.
        seed: Of all calls.
        clip: An uploaded file as the endpoints take it.
        secret: Path of a file of the server that nobody may read.
    """
    rng = np.random.default_rng([seed, number])
    ways = (_argument, _argument, _argument, _setting, _setting, _several, _count, _place, _body, _name, _plain)
    method, path, body, told, endpoint = ways[int(rng.integers(len(ways)))](rng, clip, secret)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Call(number, told, method, f"{_API}/{path}", data, {"Content-Type": "application/json"}, endpoint)


def made(client: httpx.Client, call: Call, marker: str) -> Answer:
    """Makes a call.

    Args:
        client: With the page's address.
        call: The call.
        marker: What the secret file holds: no answer may.
    """
    try:
        first = client.request(call.method, call.path, content=call.body, headers=call.headers, timeout=_ANSWER_S)
        text, code = first.text, first.status_code
        if call.endpoint is not None and code == httpx.codes.OK:
            event = first.json()["event_id"]
            text = client.get(f"{_API}/call/{call.endpoint}/{event}", timeout=_ANSWER_S).text
    except httpx.TimeoutException:
        return Answer(call, "late", f"no answer within {_ANSWER_S:.0f} s")
    except (httpx.HTTPError, ValueError, KeyError) as problem:
        return Answer(call, "broken", repr(problem))
    return Answer(call, _judged(call, code, text, marker), text)


def _judged(call: Call, code: int, text: str, marker: str) -> str:
    if marker in text:
        return "leaked"
    if code >= httpx.codes.INTERNAL_SERVER_ERROR or any(sign in text for sign in _SIGNS_OF_A_FAULT):
        return "fault"
    if code >= httpx.codes.BAD_REQUEST:
        return "refused"
    if call.endpoint is None or "event: complete" in text:
        return "answered"
    sentence = _sentence(text)
    return "told" if sentence.endswith(".") and len(sentence) <= _LONGEST_SENTENCE else "silent"


def _sentence(events: str) -> str:
    """What the last event of an endpoint's answer says is wrong; nothing where it says nothing."""
    last = events.rstrip().rpartition("event: error\ndata: ")[2]
    try:
        told = json.loads(last)
    except ValueError:
        return ""
    return str(told.get("error") or "") if isinstance(told, dict) else str(told or "")


_Made = tuple[str, str, Any, str, str | None]


def _sound(endpoint: str, clip: Any) -> list[Any]:
    """Arguments that are served, of small cost."""
    if endpoint == "inspect":
        return [[clip]]
    if endpoint == "export":
        return [clip, ["points.ply"]]
    return [[clip], "auto", "draft", [], {"max_frames": 2, "grid": [4, 4], "size": 32}]


def _endpoint(rng: np.random.Generator) -> str:
    return ("inspect", "run", "export")[int(rng.integers(3))]


def _called(endpoint: str, arguments: Any, told: str) -> _Made:
    return "POST", f"call/{endpoint}", {"data": arguments}, told, endpoint


def _argument(rng: np.random.Generator, clip: Any, secret: str) -> _Made:
    """One argument is something else."""
    endpoint = _endpoint(rng)
    arguments = _sound(endpoint, clip)
    which = int(rng.integers(len(arguments)))
    arguments[which] = _anything(rng, secret)
    return _called(endpoint, arguments, f"{endpoint}: argument {which} is {_short(arguments[which])}")


def _setting(rng: np.random.Generator, clip: Any, secret: str) -> _Made:
    """A setting is something else."""
    arguments = _sound("run", clip)
    names = ("fov_deg", "size", "grid", "max_frames", "frames", "matcher", "tracker", "weights", "cache", "seed", "labels", "K", "masks")
    names = (*names, "queries", "progress", "__class__", "path_or_noun", "", "x" * 300, "fov_bounds_deg", "min_confidence", "swap_eyes")
    name, value = names[int(rng.integers(len(names)))], _anything(rng, secret)
    arguments[4][name] = value
    return _called("run", arguments, f"run: setting {name[:30]!r} is {_short(value)}")


def _several(rng: np.random.Generator, clip: Any, secret: str) -> _Made:
    """Every argument is something else."""
    endpoint = _endpoint(rng)
    arguments = [_anything(rng, secret) for _ in _sound(endpoint, clip)]
    return _called(endpoint, arguments, f"{endpoint}: {_short(arguments)}")


def _count(rng: np.random.Generator, clip: Any, secret: str) -> _Made:
    """Too many arguments, too few, or none."""
    endpoint = _endpoint(rng)
    arguments = _sound(endpoint, clip)
    count = int(rng.choice([0, len(arguments) - 1, len(arguments) + 1, 1000]))
    return _called(endpoint, (arguments * (count + 1))[:count], f"{endpoint}: {count} arguments")


def _place(rng: np.random.Generator, clip: Any, secret: str) -> _Made:
    """A file that was never uploaded."""
    endpoint = _endpoint(rng)
    arguments = _sound(endpoint, clip)
    file = _file(rng, secret)
    arguments[0] = file if endpoint == "export" else [file]
    return _called(endpoint, arguments, f"{endpoint}: file {_short(file)}")


def _body(rng: np.random.Generator, clip: Any, secret: str) -> _Made:
    """The body is no call."""
    bodies: list[Any] = [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 3000,
        b'{"data": [NaN, Infinity]}',
        b'{"data": [' + b"9" * 5000 + b"]}",
        b"null",
        b'{"data": null}',
        b'{"data": {"a": 1}}',
        b'{"nothing": 1}',
        {"data": [[clip]], "session_hash": ["a"]},
        {"data": [[clip]], "session_hash": "../../x", "fn_index": 10**30},
        {"data": [[clip]], "trigger_id": {"a": 1}, "event_data": [1]},
        {"data": [], "fn_index": -1, "session_hash": "s"},
        {"data": [], "fn_index": 0, "session_hash": "s"},
        {"data": [], "fn_index": "x", "session_hash": "s"},
    ]
    which = int(rng.integers(len(bodies)))
    path, endpoint = (
        ("call/inspect", "inspect") if rng.random() < 0.6 else (str(rng.choice(["queue/join", "run/inspect", "cancel", "reset"])), None)
    )
    return "POST", path, bodies[which], f"{path}: body {_short(bodies[which])}", endpoint


def _name(rng: np.random.Generator, clip: Any, secret: str) -> _Made:
    """An endpoint that is none, or nobody's."""
    names = ("nothing", "bring", "run_1", "lambda", "..", "%2e%2e%2fetc", "inspect/x", "0", "-1", "x" * 500, "cancel", "asked", "take")
    name = names[int(rng.integers(len(names)))]
    return "POST", f"call/{name}", {"data": [[clip]]}, f"call of {name[:30]!r}", name


def _plain(rng: np.random.Generator, clip: Any, secret: str) -> _Made:
    """A request of something that the page does not give to anybody."""
    paths = (
        f"file={secret}",
        f"file/{secret}",
        f"file=/proc/self/root{secret}",
        f"file=file://{secret}",
        "file=",
        "file=http://127.0.0.1:1/x",
        "file=%00",
        "proxy=http://127.0.0.1:1/x",
        "proxy=x",
        "stream/a/b/c/playlist.m3u8",
        "stream/a/0/0/0.ts",
        "call/inspect/none",
        "call/nothing/none",
        "queue/data?session_hash=",
        "upload_progress?upload_id=none",
        "custom_component/x/client/component/index.js",
        "runs",
        "run-history/records",
        "vibe-code/",
        "dev/reload",
        "token",
        "info",
        "startup-events",
        f"deep_link?session_hash=../..{secret}",
    )
    path = paths[int(rng.integers(len(paths)))]
    method = "GET" if rng.random() < 0.7 else str(rng.choice(["POST", "PUT", "DELETE", "OPTIONS"]))
    return method, path, b"", f"{method} {path[:60]}", None


def _file(rng: np.random.Generator, secret: str) -> Any:
    """A file as a program names one, of the server or of somebody else."""
    paths: Sequence[Any] = (
        secret,
        "/etc/passwd",
        f"../../..{secret}",
        f"file://{secret}",
        "http://127.0.0.1:1/x",
        "/proc/self/environ",
        "",
        "\0",
        5,
        None,
    )
    path = paths[int(rng.integers(len(paths)))]
    more = (
        {},
        {"meta": {"_type": "gradio.FileData"}},
        {"url": str(path), "meta": {"_type": "gradio.FileData"}},
        {"is_stream": True},
        {"size": -1},
    )
    return {"path": path, **more[int(rng.integers(len(more)))]}


def _anything(rng: np.random.Generator, secret: str) -> Any:
    """Something that is hardly ever what was asked for."""
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    things: list[Any] = [
        None,
        True,
        -1,
        0,
        1e308,
        -(10**30),
        10**400,
        float("nan"),
        float("inf"),
        "",
        " ",
        "\0",
        "x" * 100_000,
        "<script>alert(1)</script>",
        "{{7*7}}",
        "__import__('os').system('true')",
        "naïve \ud83d\ude00",
        secret,
        "../../../etc/passwd",
        "http://127.0.0.1:1/x",
        [],
        {},
        [None],
        [[]],
        [[1, 2]],
        [[float("nan"), 1, 1]],
        [[10**30, 5, 5]],
        [[0, "x", None]],
        [[0, 1, 1]] * 5000,
        list(range(20_000)),
        deep,
        {"a": {"b": [1]}},
        {"fov_deg": float("nan")},
        {str(n): n for n in range(2000)},
        "fine",
        "stereo4d",
        "mvtracker",
    ]
    return things[int(rng.integers(len(things)))] if rng.random() < 0.8 else _file(rng, secret)


def _short(value: Any) -> str:
    told = str(type(value)) if isinstance(value, int) and abs(value) > 10**40 else repr(value)
    return told if len(told) <= 80 else f"{told[:80]} …"
