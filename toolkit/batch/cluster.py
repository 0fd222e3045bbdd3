"""The engine for several machines: one Ray task a clip, with the memory that it is expected to need; Ray is imported here alone."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from toolkit.batch.clips import is_address
from toolkit.batch.engine import Limits, lost_line
from toolkit.batch.ledger import DiskFull
from toolkit.batch.work import WORK, Task, already_done, compute, expected_memory_mb
from toolkit.errors import UserError

_ROOT = Path(__file__).resolve().parents[2]
_STORE_BYTES = 100 << 20  # lines of the ledger are all that travels: results go to the folder
_AHEAD = 2  # tasks handed over for each that can run
_PREFIX = "lift4d-ray-"
_LOOKED_AT = 16  # clips that one task looks at
_MEMORY_STEP_MB = 250


class RayEngine:
    """Tasks on a Ray cluster, or on Ray on this machine."""

    def __init__(self, limits: Limits, temporary: Path, *, address: str | None = None) -> None:
        """Joins the cluster, or starts one for this batch alone.

        Args:
            limits: What clips may take.
            temporary: For nothing but the signature that engines share: Ray's sockets need a short path.
            address: Of the cluster, such as "10.0.0.1:6379"; its machines have this toolkit installed and share the folders of clips
                and results.

        Raises:
            UserError: Ray is not installed, or there is no cluster at that address.
        """
        self._limits, self._out = limits, temporary.parent.parent
        self._own_place = None if address else _short_place()
        self._before = _set({} if address else _only_here())
        try:
            self._ray = ray = _imported()
            self._join(address)
        except BaseException:
            self._tidy()
            raise
        resources = ray.cluster_resources()
        self._slots = max(1, int(resources.get("CPU", 1) * _AHEAD))
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self._largest = max((node.get("memory", 0.0) for node in nodes), default=0.0)
        # A core each, as clips have: more tasks at a time than cores would have Ray start and end workers all the while, seconds each.
        self._look = ray.remote(num_cpus=1, max_retries=limits.retries)(_looked_at)
        self._do = ray.remote(num_cpus=1, max_retries=limits.retries, num_gpus=limits.gpus)(_done)

    def work(self, tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
        """Does all tasks; see `Engine`."""
        ray, todo = self._ray, deque(tasks)
        looked: dict[Any, list[Task]] = {}
        known: deque[tuple[Task, float | None]] = deque()
        doing: dict[Any, Task] = {}
        while todo or looked or known or doing:
            if todo and not looked and len(known) < self._slots:
                some = [todo.popleft() for _ in range(min(len(todo), max(_LOOKED_AT, self._slots)))]
                looked[self._look.remote([task.as_json() for task in some])] = some
            while known and len(doing) < self._slots:
                task, memory_mb = known.popleft()
                doing[self._begun(task, memory_mb)] = task
            ready, _ = ray.wait([*looked, *doing], num_returns=1)
            for reference in ready:
                answer = self._answer(reference)
                if reference in looked:
                    some = looked.pop(reference)
                    # Clips that could not even be looked at take what small ones do, and are told by their own tasks.
                    known.extend(zip(some, answer if isinstance(answer, list) else [None] * len(some), strict=True))
                    continue
                yield self._line(doing.pop(reference), answer)

    def close(self) -> None:
        """Ends what is in work, and Ray itself where it was started here."""
        self._ray.shutdown()
        self._tidy()

    def _tidy(self) -> None:
        if self._own_place is not None:
            shutil.rmtree(self._own_place, ignore_errors=True)
        _set(self._before)

    def _join(self, address: str | None) -> None:
        if address is not None:
            try:
                self._ray.init(address=address, log_to_driver=False, logging_level="ERROR")
            except ConnectionError as problem:
                raise UserError(f"There is no Ray cluster at {address}: {problem}.") from problem
            return
        self._ray.init(
            num_cpus=self._limits.workers,
            _memory=int(self._limits.memory_mb * 2**20),
            object_store_memory=_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(self._own_place),
            runtime_env={"env_vars": _environment()},
        )

    def _begun(self, task: Task, memory_mb: float | None) -> Any:
        """A clip handed over. Needs are rounded up: tasks that need the same go to workers that run already."""
        needed = min(-(-(memory_mb or 0.0) // _MEMORY_STEP_MB) * _MEMORY_STEP_MB * 2**20, self._largest)
        return self._do.options(memory=int(needed)).remote(task.as_json(), self._limits.seconds)

    def _answer(self, reference: Any) -> Any:
        """What a task answered, or why it did not."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as problem:
            return problem

    def _line(self, task: Task, answer: Any) -> dict[str, Any]:
        if not isinstance(answer, dict):
            why = type(answer).__name__
            tries = self._limits.retries + 1
            return lost_line(
                task, f"It ended its worker {tries} times ({why}): it may need more memory than there is, or be made to do harm."
            )
        if "full" in answer:
            raise DiskFull(self._out)
        if "unseen" in answer:
            raise UserError(str(answer["unseen"]))
        line = answer["line"]
        if line["state"] == "refused" and line.get("print") is None and not is_address(task.path) and Path(task.path).exists():
            raise UserError(
                f"The machine {line['host']} does not see {task.path}; clips must lie in a folder that all of the cluster share."
            )
        return line


def _looked_at(told: list[dict[str, Any]]) -> list[float | None]:
    """What the clips of some tasks are expected to need."""
    return [expected_memory_mb(one) for one in told]


def _done(told: dict[str, Any], limit_s: float | None) -> dict[str, Any]:
    """One clip in a Ray worker; a try after one that was lost finds out whether that one had finished, or was too slow."""
    task = Task.from_json(told)
    out = Path(task.out)
    if not (out / WORK).is_dir():
        return {
            "unseen": f"The machine {socket.gethostname()} does not see {out}; results must go to a folder that all of the cluster share."
        }
    finished = already_done(task)
    if finished is not None:
        return {"line": finished}
    late = out / WORK / f"{task.clip}.late"
    if late.exists():
        late.unlink()
        return {
            "line": lost_line(task, f"It took longer than the {limit_s:.0f} s that a clip may take; use preset draft, or fewer frames.")
        }
    timer = None if limit_s is None else threading.Timer(limit_s, _end, [late])
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        return {"line": compute(task)}
    except DiskFull as problem:
        return {"full": str(problem)}
    finally:
        if timer is not None:
            timer.cancel()


def _end(late: Path) -> None:
    """Ends this worker; the mark tells the next try why."""
    late.touch()
    os._exit(1)


def _short_place() -> Path:
    """A folder for Ray's own files, whose sockets need a short path; those of batches that were killed go."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = left.name.removeprefix(_PREFIX).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))


def _imported() -> Any:
    # Before the import, which reads it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # type: ignore[import-not-found]
    except ModuleNotFoundError as problem:
        raise UserError("The engine ray needs Ray: pip install -r requirements-cluster.txt; the engine local needs nothing.") from problem
    return ray


def _only_here() -> dict[str, str | None]:
    """The environment of a Ray for this machine alone: it listens on the loopback address, and to nobody without the token.

    Ray listens on every address of the machine whatever address it is given, except where it is told that this is no place for clusters.
    """
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _set(environment: Mapping[str, str | None]) -> dict[str, str | None]:
    """Sets variables of the environment, or takes them away; what they were before."""
    before = {name: os.environ.get(name) for name in environment}
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return before


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
    defaults = {"LIFT4D_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return {**{k: os.environ.get(k, v) for k, v in defaults.items()}, "OMP_WAIT_POLICY": "passive", "PYTHONPATH": path}
