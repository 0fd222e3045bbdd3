"""The shell's `batch`: many clips, what became of them, a report, a catalogue."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from toolkit.batch import BatchProgress, Status, clean_batch, read_status, run_batch
from toolkit.batch.report import write_report
from toolkit.batch.status import duration
from toolkit.methods.request import Preset
from toolkit.settings_text import parse_settings
from toolkit.wording import counted

_TELL_EVERY = 20  # lines, where nobody looks at a terminal


class _RunUnlessNamed(TyperGroup):
    """`batch SOURCES` stands for `batch run SOURCES`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


batch_commands = typer.Typer(
    cls=_RunUnlessNamed, no_args_is_help=True, help="Many clips: batch SOURCES --out DIR runs them; again, goes on."
)
Results = Annotated[Path, typer.Argument(help="Folder of results.", metavar="DIR")]


@batch_commands.command("run")
def run_command(
    sources: Annotated[list[str], typer.Argument(help="Folders, lists (.txt), tables (.csv, .parquet), addresses, clips.")],
    out: Annotated[str, typer.Option(help="Folder for the results.")],
    method: Annotated[str, typer.Option(help="A method's name, or auto.")] = "auto",
    preset: Annotated[Preset, typer.Option(help="draft, normal or fine.")] = "normal",
    frames: Annotated[int | None, typer.Option(help="Use the first so many frames.", min=1)] = None,
    formats: Annotated[str, typer.Option(help="Result files, separated by commas, or all; scene.npz always.")] = "scene.npz",
    seed: Annotated[int, typer.Option(help="Same seed, same result.", min=0)] = 0,
    option: Annotated[list[str] | None, typer.Option("--set", help="A setting of the method: name=value; may be repeated.")] = None,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="local for this machine, ray for a cluster.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; one is started on this machine otherwise.")] = None,
    workers: Annotated[int | None, typer.Option(help="Clips at a time; one a core otherwise.", min=1)] = None,
    memory_mb: Annotated[int | None, typer.Option(help="That all clips in work may take; most of what is free otherwise.", min=1)] = None,
    limit_s: Annotated[float | None, typer.Option(help="A clip that takes longer is given up.", min=1)] = None,
    retries: Annotated[int, typer.Option(help="How often a clip is tried again that took its worker along.", min=0)] = 2,
    gpus: Annotated[float, typer.Option(help="Graphics processors, or a share of one, a clip; on Ray.", min=0)] = 0.0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also do clips again that failed before.")] = False,
    cache_gb: Annotated[float, typer.Option(help="On disk, for what stages found: other settings redo only what they touch.", min=0)] = 5.0,
) -> None:
    """Runs many clips; called again it does what is missing, and nothing twice."""
    wanted = formats if formats == "all" else [name.strip() for name in formats.split(",")]
    told = run_batch(
        sources, out, method=method, preset=preset, frames=frames, seed=seed, formats=wanted, engine=engine, address=address,
        workers=workers, memory_mb=memory_mb, limit_s=limit_s, retries=retries, gpus=gpus, retry_failed=retry_failed, cache_gb=cache_gb,
        progress=_teller(),
        **parse_settings(option or []),
    )  # fmt: skip
    _tell(told)


@batch_commands.command("status")
def status_command(folder: Results) -> None:
    """Says what became of the clips; also while they are done."""
    _tell(read_status(folder))


@batch_commands.command("report")
def report_command(
    folder: Results,
    out: Annotated[Path | None, typer.Option(help="The page to write; report.html in the folder otherwise.")] = None,
) -> None:
    """Writes a page about all clips: counts, failures, quality, pictures."""
    print(f"wrote {write_report(folder, out)}")


@batch_commands.command("clean")
def clean_command(folder: Results) -> None:
    """Takes away what stages found, kept for runs with other settings; results stay."""
    print(f"{clean_batch(folder):.0f} MB taken away")


@batch_commands.command("catalogue")
def catalogue_command(
    sources: Annotated[list[str], typer.Argument(help="Released Stereo4D annotations, or folders of them.")],
    out: Annotated[Path, typer.Option(help="The table: .parquet, .csv or .jsonl.")],
    where: Annotated[list[str] | None, typer.Option(help="A rule that a row must meet: moving_share>=0.2; may be repeated.")] = None,
) -> None:
    """Writes a table about released annotations: length, motion, tracks, camera path, what is doubtful."""
    from toolkit.batch.catalogue import catalogue

    rows = catalogue(sources, out, where=where or [])
    print(f"wrote {out}: {counted(rows, 'row')}")


def _tell(status: Status) -> None:
    print(status)
    for sentence, count in status.sentences.items():
        print(f"  {count} x {sentence}")


def _teller() -> Any:
    """Progress on one line of a terminal, or a line now and then in a log."""
    terminal = sys.stderr.isatty()

    def tell(event: BatchProgress) -> None:
        left = "" if event.left_s is None else f", about {duration(event.left_s)} left"
        poor = "".join(f", {event.counts[state]} {state}" for state in ("refused", "failed") if event.counts.get(state))
        text = f"{event.done} of {event.total} clips done{poor}{left}"
        ended = event.line is None or event.line["state"] != "started"
        if terminal:
            print(f"\r\x1b[K{text}", end="\n" if event.done == event.total else "", file=sys.stderr, flush=True)
        elif ended and (event.done % _TELL_EVERY == 0 or event.done == event.total):
            print(text, file=sys.stderr, flush=True)

    return tell
