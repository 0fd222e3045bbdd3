"""The process of a local worker: a clip a line comes in, what becomes of it goes out, a line each; it ends with the one that started it."""

from __future__ import annotations

from toolkit.beside import conversation, ends_first


def main() -> None:
    """Does clips until there are no more, or the driver is gone."""
    hear, say = conversation()
    ends_first()
    from toolkit.batch.ledger import DiskFull
    from toolkit.batch.work import Task, compute

    def ask(memory_mb: float) -> None:
        say({"needs_mb": memory_mb})
        hear()

    say({"ready": True})
    while True:
        told = hear()
        try:
            say({"line": compute(Task.from_json(told), ask)})
        except DiskFull as problem:
            say({"full": str(problem)})


if __name__ == "__main__":
    main()
