"""What the page can do for a visitor, without a word of layout: bring a clip, look, run, cancel, measure."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from toolkit.errors import Cancelled, UserError
from toolkit.gallery import Example
from toolkit.media.recording import raw_video
from toolkit.media.suffixes import VIDEOS
from toolkit.page import texts
from toolkit.page.scratch import Scratch, Visitor
from toolkit.page.workers import Crew, Worker


class Studio:
    """One page's visitors and workers."""

    RUN_AT_MOST_S = 1800.0
    """The place is everybody's: no run holds it longer, whatever was asked for."""

    def __init__(self, scratch: Scratch) -> None:
        """Starts the workers.

        Args:
            scratch: Where visitors' files lie.
        """
        self.scratch = scratch
        self.crew = Crew(scratch.temporary)

    def close(self) -> None:
        """Ends the workers and deletes every file."""
        self.crew.close()
        self.scratch.close()

    async def take(self, visitor: Visitor, uploads: Sequence[str]) -> Path:
        """Puts uploaded files together as one recording of the visitor; what it brought before is deleted.

        Raises:
            UserError: files that are not here, or an archive that is not trusted.
        """
        folder = visitor.new_folder("clip")
        visitor.kept.pop("clip", None)
        visitor.kept["uploads"] = list(uploads)
        try:
            files = [self.scratch.take_upload(path, folder) for path in uploads]
            if not files:
                raise UserError(texts.NO_CLIP)
            if len(files) == 1 and files[0].suffix.lower() == ".zip":
                inside = folder / files[0].stem
                await self.crew.look("unpack", archive=str(files[0]), folder=str(inside))
                clip = _with_annotation(inside) or inside
            else:
                clip = _with_annotation(folder) or (files[0] if len(files) == 1 else folder)
        except BaseException:
            self._refuse(visitor)
            raise
        visitor.kept["clip"] = str(clip)
        return clip

    async def look(self, visitor: Visitor, options: dict[str, Any]) -> dict[str, Any]:
        """What the visitor's clip is; a clip that can't be used is deleted, and what was uploaded for it.

        Raises:
            UserError: why it can't be used.
        """
        clip = self._clip(visitor)
        try:
            return await self.crew.look("look", clip=clip, options=options)
        except UserError as problem:
            self._refuse(visitor)
            raise UserError(without_places(str(problem), clip)) from None
        except BaseException:
            self._refuse(visitor)
            raise

    def _refuse(self, visitor: Visitor) -> None:
        """Deletes what the visitor brought, wherever it lies."""
        self.drop_clip(visitor)
        self.scratch.refuse(visitor.kept.pop("uploads", []))

    def drop_clip(self, visitor: Visitor) -> None:
        """Deletes what the visitor brought."""
        visitor.kept.pop("clip", None)
        shutil.rmtree(visitor.folder / "clip", ignore_errors=True)

    async def picture(self, visitor: Visitor, job: str, **arguments: Any) -> dict[str, Any]:
        """A picture of the visitor's clip, made by the job `pair` or `frame`."""
        return await self.crew.look(job, clip=self._clip(visitor), picture=str(visitor.new_picture(job)), **arguments)

    async def run(self, visitor: Visitor, job: str, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        """A long job for the visitor, one at a time; its result is in a folder of its own, and replaces the one before.

        Yields:
            Its events; the last one is {"answer": ...}.

        Raises:
            UserError: what the visitor can put right.
            Cancelled: the visitor cancelled it.
        """
        if visitor.job is not None:
            raise UserError(texts.BUSY)
        number = visitor.kept["runs"] = visitor.kept.get("runs", 0) + 1
        folder = visitor.new_folder(f"run-{number}")
        worker = visitor.job = self.crew.hire()
        finished, limit = False, worker.ended_after(self.RUN_AT_MOST_S)
        try:
            async for event in worker.work(job, clip=self._clip(visitor), folder=str(folder), **arguments):
                finished = "answer" in event
                yield event
        except Cancelled:
            if worker.late:
                raise UserError(texts.TOO_LONG.format(time=texts.duration(self.RUN_AT_MOST_S))) from None
            raise
        finally:
            limit.cancel()
            visitor.job = None
            await asyncio.shield(asyncio.to_thread(self._after, worker, visitor, folder, finished))

    def _after(self, worker: Worker, visitor: Visitor, folder: Path, finished: bool) -> None:
        """Lets the worker go; keeps the folder of a result, and that one alone."""
        self.crew.dismiss(worker)
        if not finished:
            shutil.rmtree(folder, ignore_errors=True)
            return
        self._keep(visitor, folder)

    async def work(self, job: str, visitor: Visitor, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        """A job of some seconds on a result of the visitor, with a worker of its own."""
        if visitor.job is not None:
            raise UserError(texts.BUSY)
        worker = visitor.job = self.crew.hire()
        try:
            async for event in worker.work(job, **arguments):
                yield event
        finally:
            visitor.job = None
            await asyncio.shield(asyncio.to_thread(self.crew.dismiss, worker))

    def cancel(self, visitor: Visitor | None) -> bool:
        """Stops what runs for the visitor; whether anything did."""
        worker = visitor.job if visitor is not None else None
        if worker is None:
            return False
        worker.end()
        return True

    def open_example(self, visitor: Visitor, example: Example) -> Path:
        """Copies an example's result to the visitor."""
        number = visitor.kept["runs"] = visitor.kept.get("runs", 0) + 1
        folder = visitor.new_folder(f"run-{number}")
        (folder / "files").mkdir()
        for path in example.files.values():
            shutil.copyfile(path, folder / "files" / path.name)
        self._keep(visitor, folder)
        return folder

    @staticmethod
    def _keep(visitor: Visitor, folder: Path) -> None:
        """The folder becomes the visitor's result; the one before stays, as its page may still be fetching files; older ones go."""
        kept = {folder, Path(visitor.kept.get("result", folder))}
        visitor.kept["result"] = str(folder)
        for old in set(visitor.folder.glob("run-*")) - kept:
            shutil.rmtree(old, ignore_errors=True)

    def result(self, visitor: Visitor) -> Path:
        """The folder of the visitor's result.

        Raises:
            UserError: there is none.
        """
        folder = visitor.kept.get("result")
        if folder is None or not Path(folder).is_dir():
            raise UserError(texts.NO_RESULT)
        return Path(folder)

    async def complete(self, visitor: Visitor) -> dict[str, str]:
        """Writes the files that a shipped result lacks, and the zip of all; what opens each, by name."""
        told = await self.crew.look("complete", folder=str(self.result(visitor)))
        return told["opens_with"]

    async def laid_out(self, visitor: Visitor) -> Path:
        """The visitor's result, ready to be measured in; an example's is made so when it is first asked for."""
        result = self.result(visitor)
        folder = result / "stored"
        if not (folder / "head.json").exists():
            await self.crew.look("lay_out", scene=str(result / "files" / "scene.npz"), folder=str(folder))
        return folder

    def _clip(self, visitor: Visitor) -> str:
        clip = visitor.kept.get("clip")
        if clip is None:
            raise UserError(texts.NO_CLIP)
        return clip


def without_places(sentence: str, clip: str) -> str:
    """A sentence about a visitor's file without the server's folders in it: those are of no use to anybody."""
    return sentence.replace(clip, Path(clip).name).replace(f"{Path(clip).parent}/", "")


def _with_annotation(folder: Path) -> Path | None:
    """The one .npz of a folder, its video named so that it is found; None where there is no such pair."""
    annotations = list(folder.rglob("*.npz"))
    if len(annotations) != 1:
        return None
    annotation = annotations[0]
    videos = [path for path in annotation.parent.iterdir() if path.suffix.lower() in VIDEOS]
    if len(videos) == 1 and raw_video(annotation, None) is None:
        videos[0].rename(annotation.with_name(annotation.stem + videos[0].suffix.lower()))
    return annotation
