"""MVTracker over a stream: windows of 12 frames, 6 further each time, of which only the last 12 frames are ever held."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.errors import UserError
from toolkit.models.mvtracker_cloud import FeatureCloud, Moment
from toolkit.models.mvtracker_transformer import Tick
from toolkit.models.mvtracker_update import CHANNELS, WINDOW, WindowUpdater
from toolkit.scene import F32, I64

HOP = WINDOW // 2
SEEN_AT_FIRST = 10.0  # logit of being seen that a new track starts with


@dataclass(frozen=True, eq=False)
class WindowResult:
    """Where the tracks of one window are.

    Attributes:
        first: Its first frame.
        final: How many of its frames no later window will change.
        tracks: (A,) which queries have begun.
        xyz: (A, S, 3) float32 in the world; NaN before a track's own frame, and where its looks are not known.
        chance: (A, S) float32 that any view sees it.
    """

    first: int
    final: int
    tracks: I64
    xyz: F32
    chance: F32


class SlidingWindows:
    """Tracks queries through frames as they come.

    Args:
        network: Encoder and transformer.
        queries: (N, 4) float32 (t, x, y, z), t a frame index.
        iters: Iterations per window.
        published: Whether the published code is followed where it is wrong: pixels without depth are points, clips that end within half
            a window of the first query give nothing, tracks leave their queries, and frames before them hold whatever comes.
        tick: Called after each layer of the transformer; may raise `Cancelled`.
    """

    def __init__(self, network: WindowUpdater, queries: NDArray, *, iters: int, published: bool = False, tick: Tick = lambda: None) -> None:
        self.network, self.iters, self.published, self.tick = network, iters, published, tick
        self.device = next(network.parameters()).device
        self.queries = np.zeros((0, 4), np.float32)
        self.features: Tensor = torch.zeros(0, CHANNELS, device=self.device)
        self.known = np.zeros(0, bool)  # whose features were found
        self.frames: deque[Moment | FeatureCloud] = deque()  # encoded when a window needs them
        self.count = 0  # frames that came so far
        self.start: int | None = None  # of the next window; None while nothing is asked
        self.before: tuple[I64, Tensor, Tensor] | None = None  # tracks, places and logits of the window before
        self.add(queries)

    def add(self, queries: NDArray) -> None:
        """Takes further queries; their frames must not be gone.

        Raises:
            UserError: for frames whose pictures are no longer held.
        """
        queries = np.asarray(queries, np.float32).reshape(-1, 4)
        if not len(queries):
            return
        if self.before is not None and self.start is not None:
            oldest = self.start
        else:  # a window is run when its last frame comes
            oldest = max(self.count - len(self.frames), self.count - WINDOW + 1)
        late = np.flatnonzero(queries[:, 0].astype(np.int64) < oldest)
        if len(late):
            raise UserError(
                f"Query {late[0]} is in frame {int(queries[late[0], 0])}, but frames before {oldest} are gone; "
                "ask before they are pushed, or in a later frame."
            )
        self.queries = np.concatenate([self.queries, queries])
        self.features = torch.cat([self.features, self.features.new_zeros(len(queries), self.features.shape[1])])
        self.known = np.concatenate([self.known, np.zeros(len(queries), bool)])
        if self.before is None:
            self.start = int(self.queries[:, 0].min())

    @torch.inference_mode()
    def push(self, frame: Moment | FeatureCloud) -> WindowResult | None:
        """Takes the next frame, encoded or not; gives the window that it completes, if any."""
        self.frames.append(frame)
        self.count += 1
        if self.start is not None and self.count == self.start + WINDOW:
            return self._run(self.start, last=False)
        if len(self.frames) > WINDOW:
            self.frames.popleft()
        return None

    def encoded(self) -> dict[int, FeatureCloud]:
        """Clouds of the frames that are still held."""
        oldest = self.count - len(self.frames)
        return {oldest + i: frame for i, frame in enumerate(self.frames) if isinstance(frame, FeatureCloud)}

    @torch.inference_mode()
    def finish(self) -> WindowResult | None:
        """The frames that no window has seen yet, after the last one was pushed; None where there are none."""
        if self.start is None:
            return None
        if self.before is None and not self.published and self.count:
            # Frames before the first query tell more than repetitions of the last frame.
            return self._run(max(0, min(self.start, self.count - WINDOW)), last=True)
        if self.start + HOP < self.count:
            return self._run(self.start, last=True)
        return None

    def _run(self, first: int, *, last: bool) -> WindowResult:
        oldest = self.count - len(self.frames)
        for _ in range(first - oldest):
            self.frames.popleft()
        for i, frame in enumerate(self.frames):
            if not isinstance(frame, FeatureCloud):
                self.frames[i] = FeatureCloud(self.network.fnet, frame, published=self.published)
                self.tick()
        clouds: list[FeatureCloud] = list(self.frames)  # type: ignore[arg-type]
        real = len(clouds)
        clouds += [clouds[-1]] * (WINDOW - real)
        moments = self.queries[:, 0].astype(np.int64)
        tracks = np.flatnonzero(moments < first + real)
        tracks = tracks[np.argsort(moments[tracks], kind="stable")]
        self._find_features(clouds[:real], first, tracks)
        xyz, visible, covered = self._initial(tracks)
        frame = first + np.minimum(np.arange(WINDOW), real - 1)
        asked = (frame >= moments[tracks, None]) & (frame >= covered[:, None])
        found = self.network.refine(
            clouds,
            xyz,
            self.features[tracks],
            visible,
            torch.from_numpy(asked).to(xyz),
            iters=self.iters,
            tick=self.tick,
        )
        self.before = (tracks, found.steps[-1], found.visible)
        self.start = first + HOP
        return self._result(first, real, tracks, final=real if last else HOP)

    def _find_features(self, clouds: list[FeatureCloud], first: int, tracks: I64) -> None:
        """What new tracks look like: the nearest point of the cloud of their frame, or of the nearest frame that has any depth."""
        new = tracks[~self.known[tracks]]
        filled = np.array([i for i, cloud in enumerate(clouds) if not cloud.empty], np.int64)
        if not len(new) or not len(filled):
            return
        own = self.queries[new, 0].astype(np.int64) - first
        nearest = filled[np.abs(filled - own[:, None]).argmin(1)]
        for i in np.unique(nearest):
            those = new[nearest == i]
            self.features[torch.from_numpy(those)] = clouds[i].feature_at(torch.from_numpy(self.queries[those, 1:]).to(self.device))
        self.known[new] = True

    def _initial(self, tracks: I64) -> tuple[Tensor, Tensor, I64]:
        """Places (A, 12, 3), logits (A, 12) and, per track, the first frame that no window has covered."""
        xyz = torch.from_numpy(self.queries[tracks, 1:]).to(self.device)[:, None].repeat(1, WINDOW, 1)
        visible = torch.full((len(tracks), WINDOW), SEEN_AT_FIRST, device=self.device)
        covered = np.zeros(len(tracks), np.int64)
        if self.before is not None and self.start is not None:
            old, places, logits = self.before
            row = {int(track): i for i, track in enumerate(old)}
            mine = np.array([i for i, track in enumerate(tracks) if int(track) in row], np.int64)
            theirs = np.array([row[int(tracks[i])] for i in mine], np.int64)
            slots = np.minimum(np.arange(WINDOW) + HOP, WINDOW - 1)
            xyz[mine] = places[theirs][:, slots]
            visible[mine] = logits[theirs][:, slots]
            covered[mine] = self.start + HOP
        return xyz, visible, covered

    def _result(self, first: int, real: int, tracks: I64, *, final: int) -> WindowResult:
        assert self.before is not None
        xyz = self.before[1][:, :real].cpu().numpy().copy()
        chance = self.before[2][:, :real].sigmoid().cpu().numpy().copy()
        if not self.published:
            own = self.queries[tracks, 0].astype(np.int64)[:, None] - first
            slot = np.arange(real)
            track, at = np.nonzero(slot == own)
            xyz[track, at], chance[track, at] = self.queries[tracks[track], 1:], 1
            nowhere = (slot < own) | ~self.known[tracks, None]
            xyz[nowhere], chance[nowhere] = np.nan, 0
        return WindowResult(first, final, tracks, xyz, chance)
