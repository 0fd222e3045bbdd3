"""The shell: `python -m toolkit COMMAND`; thin commands over the verbs."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from toolkit import interrupt
from toolkit.batch_command import batch_commands
from toolkit.errors import UserError
from toolkit.evaluate_command import evaluate_command
from toolkit.example_making import examples_command
from toolkit.methods.request import Preset
from toolkit.scene import Scene
from toolkit.settings_text import parse_settings
from toolkit.train_command import train_command
from toolkit.views.report import quality_lines

shell = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Video in, 4D out: tracks, depth, cameras and world motion from VR180, stereo and other recordings.",
)


def _recording(text: str) -> Path:
    if not text.strip():
        raise typer.BadParameter("it is empty, but a file or folder is needed (. for this one)")
    if "://" in text:
        raise typer.BadParameter(f"{text} is an address, but a file on this machine is needed; download it first")
    return Path(text)


_TAKES = "A video, a folder of frames, a zip, a released Stereo4D .npz, or an .npz of 2D tracks."
Recording = Annotated[Path, typer.Argument(help=_TAKES, parser=_recording, metavar="PATH")]
_OPENS = "A scene.npz of ours, or a released Stereo4D .npz."
Saved = Annotated[Path, typer.Argument(help=_OPENS, parser=_recording, metavar="SCENE")]


def _folder(text: str) -> Path:
    if not text.strip():
        raise typer.BadParameter("it is empty, but the name of a folder is needed (. for this one)")
    return Path(text)


Folder = Annotated[Path, typer.Option(help="Folder for the result files.", parser=_folder, metavar="<path>")]


@shell.command()
def inspect(path: Recording, as_json: Annotated[bool, typer.Option("--json", help="Everything that was found, as JSON.")] = False) -> None:
    """Says what a recording is, before anything is computed."""
    import toolkit as tk

    source = tk.inspect(path)
    if as_json:
        from dataclasses import asdict

        print(json.dumps(asdict(source), indent=2, default=str))
        return
    print(source)
    for preset, cost in source.estimate.items():
        print(f"  {preset}: about {cost.seconds:.0f} s and {cost.memory_mb:.0f} MB")
    for warning in source.warnings:
        print(f"  note: {warning}")


@shell.command()
def run(
    path: Recording,
    out: Folder,
    method: Annotated[str, typer.Option(help="A method's name, or auto.")] = "auto",
    preset: Annotated[Preset, typer.Option(help="draft, normal or fine.")] = "normal",
    frames: Annotated[int | None, typer.Option(help="Use the first so many frames.", min=1)] = None,
    formats: Annotated[str, typer.Option(help="Result files, separated by commas; all for every one.")] = "all",
    queries: Annotated[
        Path | None, typer.Option(help="A text file of points t,x,y (of several cameras also t,x,y,z) to follow; a grid otherwise.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same result.", min=0)] = 0,
    option: Annotated[list[str] | None, typer.Option("--set", help="A setting of the method: name=value; may be repeated.")] = None,
) -> None:
    """Turns a recording into a 4D scene and writes the result files."""
    import toolkit as tk
    from toolkit.export.bundle import check_export

    points = None if queries is None else read_queries(queries)
    wanted = formats if formats == "all" else [name.strip() for name in formats.split(",")]
    check_export(out, wanted)
    scene = tk.run(path, method, preset=preset, frames=frames, queries=points, seed=seed, **parse_settings(option or []))
    _tell(scene, tk.export(scene, out, formats=wanted))


@shell.command()
def export(
    scene: Saved,
    out: Folder,
    formats: Annotated[str, typer.Option(help="Result files, separated by commas; all for every one.")] = "all",
) -> None:
    """Writes the result files of a saved scene."""
    import toolkit as tk
    from toolkit.export.bundle import check_export

    wanted = formats if formats == "all" else [name.strip() for name in formats.split(",")]
    check_export(out, wanted)
    loaded = _opened(scene)
    _tell(loaded, tk.export(loaded, out, formats=wanted))


@shell.command()
def view(
    scene: Saved,
    out: Annotated[Path | None, typer.Option(help="The page to write; scene.html beside the scene otherwise.")] = None,
) -> None:
    """Writes the 4D page of a saved scene: one file that any browser opens without a network."""
    import toolkit as tk

    print(f"wrote {tk.view(_opened(scene), path=scene.with_name('scene.html') if out is None else out)}")


@shell.command()
def benchmark(
    quick: Annotated[bool, typer.Option(help="Small sizes, for a look in under a minute.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the table as JSON to this file.")] = None,
    only: Annotated[str | None, typer.Option(help="Rows whose name contains this text.")] = None,
    rigs: Annotated[
        bool, typer.Option("--rigs", help="Instead: how well generated rigs of cameras are followed, beside baselines. Half an hour.")
    ] = False,
    recordings: Annotated[int, typer.Option(help="Of each kind of --rigs.", min=1)] = 3,
    soak: Annotated[
        bool, typer.Option("--soak", help="Instead: spoilt recordings, then visitors of a page. Half an hour and more.")
    ] = False,
    inputs: Annotated[int, typer.Option(help="Spoilt recordings of --soak.", min=0)] = 2000,
    visitors: Annotated[int, typer.Option(help="Visitors at a time of --soak.", min=1)] = 5,
    minutes: Annotated[float, typer.Option(help="That they come.", min=0)] = 15.0,
    seed: Annotated[int, typer.Option(help="Of --soak: same seed, same spoilt recordings.", min=0)] = 0,
) -> None:
    """Measures CPU seconds, wall time and peak memory of each stage on generated data; or tries what harm can be done."""
    from toolkit.benchmark import ROWS, matches, measure_all, table

    if out is not None and (out.is_dir() or not os.access(out.parent, os.W_OK)):
        raise UserError(f"{out} can't be written: a file in a folder that exists and can be written to is needed.")
    if only is not None and not any(matches(row, only, quick) for row in ROWS):
        raise UserError(f"No row of the benchmark has {only!r} in its name; there are: {'; '.join(row.told(quick) for row in ROWS)}.")
    if rigs:
        from toolkit.rig_benchmark import measure_rigs

        measure_rigs(recordings=recordings, quick=quick, out=out)
        return
    if soak:
        from toolkit.soak.trial import run_trials

        asked = (100, 1.0) if quick else (inputs, minutes)
        found, good = run_trials(
            inputs=asked[0], visitors=visitors, minutes=asked[1], seed=seed, tell=lambda line: print(line, file=sys.stderr, flush=True)
        )
        print(json.dumps(found, indent=2))
        if out is not None:
            out.write_text(json.dumps(found, indent=2))
        if not good:
            raise typer.Exit(1)
        return
    rows = measure_all(quick=quick, only=only, tell=lambda line: print(line, file=sys.stderr))
    print(table(rows))
    if out is not None:
        out.write_text(json.dumps(rows, indent=2))
        print(f"wrote {out}")


@shell.command("warm-up")
def warm_up() -> None:
    """Compiles everything now, so that the first run need not: about half a minute, once."""
    from toolkit.warm_up import warm_up as compile_all

    compile_all()
    print("compiled")


@shell.command()
def app(
    port: Annotated[int, typer.Option(help="Port of the page.", min=1, max=65535)] = 7860,
) -> None:
    """Opens the page."""
    import runpy

    if not _free(port):
        raise UserError(f"Port {port} is in use, maybe by a page that is open already; choose another with --port.")
    os.environ["GRADIO_SERVER_PORT"] = str(port)
    runpy.run_path(str(Path(__file__).parent.parent / "app.py"), run_name="__main__")


def _free(port: int) -> bool:
    """Whether a page can be opened on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a page that has just been closed is in nobody's way
        try:
            probe.bind((os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), port))
        except OSError:
            return False
    return True


def _opened(path: Path) -> Scene:
    """A saved scene of ours, or a released annotation with its video."""
    import toolkit as tk
    from toolkit.media.recording import find_recording

    return tk.load(path) if find_recording(path).form == "scene" else tk.load_dataset_npz(path, with_video=True)


shell.add_typer(batch_commands, name="batch")
shell.command("examples")(examples_command)
shell.command("train")(train_command)
shell.command("evaluate")(evaluate_command)


def read_queries(path: Path) -> list[list[float]]:
    """Points (t, x, y), or (t, x, y, z) in the world, from a text file, one a line, separated by commas."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"The points in {path} cannot be read; a text file with lines of t,x,y is needed.") from problem
    points: list[list[float]] = []
    heading_allowed = True
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = [_number(part) for part in line.split(",")]
        heading = heading_allowed and all(field is None for field in fields)
        heading_allowed = False
        if heading:
            continue
        point = [field for field in fields if field is not None]
        columns = len(points[0]) if points else len(point)
        if columns not in (3, 4) or len(point) != columns or len(fields) != columns:
            wanted = "t,x,y,z" if points and columns == 4 else "t,x,y"  # noqa: PLR2004 (places in the world)
            raise UserError(f"Line {number} of {path} is {line[:40]!r}, but {wanted} is needed.")
        points.append(point)
    if not points:
        raise UserError(f"{path} holds no points; lines of t,x,y (of several cameras also t,x,y,z) are needed.")
    return points


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _tell(scene: Scene, written: dict[str, Path]) -> None:
    print(scene)
    for line in quality_lines(scene):
        print(f"  {line}")
    for warning in scene.report.get("warnings", []):
        print(f"  note: {warning}")
    for path in written.values():
        print(f"wrote {path}")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 0 when it worked, 2 with one sentence for what a person can put right, 130 after Ctrl-C."""
    # Small matrices run faster without BLAS threads; the heavy loops have threads of their own.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    asked = sys.argv[1:] if arguments is None else arguments
    with interrupt.listening():
        try:
            ended = shell(args=asked, standalone_mode=False)
            sys.stdout.flush()
            if ended != interrupt.EXIT_CODE:
                return int(ended or 0)
        except UserError as problem:
            return _refused(str(problem))
        except TyperException as problem:
            if not asked:  # the help was shown
                return 2
            return _refused(_sentence(problem))
        except SystemExit as end:
            return int(end.code or 0)
        except OSError as problem:
            if problem.errno not in (errno.EPIPE, errno.ENOSPC) or problem.filename is not None:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or what is left to be said fails once more at the end
            return 1 if problem.errno == errno.EPIPE else _refused("What this writes could not be written: no space left.")
        except BaseException:
            # Compiled libraries make errors of their own of a Ctrl-C, so what counts is that it was pressed.
            if not interrupt.was_struck():
                raise
    kept = {"examples": "Cancelled; the examples that were finished are kept.", "app": "Closed.", "train": "Cancelled; --resume goes on.",
            "batch": "Cancelled; clips that were finished are kept, the same command goes on."}  # fmt: skip
    print(kept.get(asked[0], interrupt.SENTENCE), file=sys.stderr)
    return interrupt.EXIT_CODE


def _refused(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 2


def _sentence(problem: TyperException) -> str:
    """What is wrong with the words of a command, in one sentence."""
    told = str(getattr(problem, "format_message", lambda: problem)())
    told = " ".join(told.replace("Value error, ", "").split()).rstrip(".")
    context: Any = getattr(problem, "ctx", None)
    command = f" {context.info_name}" if context is not None and context.parent is not None else ""
    return f"{told}; see python -m toolkit{command} --help."
