"""VGGSfM's point tracker, coarse and fine (Wang et al., CVPR 2024): queries of one image found in others, in any order of the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from toolkit.errors import UserError
from toolkit.models.checkpoints import FromPublished, Published
from toolkit.models.encoders import ImageEncoder, PatchEncoder, resized
from toolkit.models.fine_tracking import (
    cut_patches,
    own_spread,
    patch_corners,
    published_corners,
    published_spread,
    refine_in_patches,
)
from toolkit.models.point_refiner import COARSE, FINE, LEAST_SIDE, STRIDE, PointRefiner
from toolkit.models.tracking_plan import VideoTracking, estimate
from toolkit.models.update_transformer import Tick, no_tick
from toolkit.models.video_tracking import track_video
from toolkit.progress import Report, silent
from toolkit.scene import U8, Estimate, Tracks2D, Video
from toolkit.tracking.queries import checked_queries

VGGSFM = Published(
    name="VGGSfM's tracker",
    repository="facebook/VGGSfM",
    file="vggsfm_v2_0_0.bin",
    licence="The weights of VGGSfM (Meta Platforms and the University of Oxford) are CC BY-NC 4.0: not for commercial use.",
    prefix="track_predictor.",
    also=("vggsfm_v2_tracker.pt",),
)
HALVED = STRIDE // ImageEncoder.stride  # the image encoder sees the image at half its size
ITERATIONS = 6


class TrackPredictor(FromPublished, nn.Module):
    """The two predictors with their encoders; weights are named as in the published file.

    In parity the faults of the published code are reproduced: its score, and patches at the border of the image.
    """

    published = VGGSFM

    def __init__(self) -> None:
        super().__init__()
        self.parity = False
        self.coarse_fnet = ImageEncoder()
        self.coarse_predictor = PointRefiner(COARSE)
        self.fine_fnet = PatchEncoder()
        self.fine_predictor = PointRefiner(FINE)

    @torch.inference_mode()
    def track(self, images: ArrayLike | Tensor, queries: ArrayLike | Tensor, *, iters: int = ITERATIONS) -> dict[str, Tensor]:
        """Finds points of the first image in all others.

        Args:
            images: (S, 3, H, W) float in 0..1 or uint8; H and W at least 128 and divisible by 8.
            queries: (N, 2) (x, y) in pixels of image 0, pixel centres at whole numbers.
            iters: Iterations of the coarse predictor.

        Returns:
            "coarse" and "fine" (S, N, 2) places in pixels, "vis" (S, N) chance of being seen, "score" (S, N) spread of the
            likeness around the point (larger is worse, see `fine_tracking.spread`), "coarse_iters" (iters, S, N, 2).

        Raises:
            UserError: for images that are too small.
        """
        pictures, points = self._checked(images, queries)
        maps = self.encode(pictures)
        steps, vis = self.track_coarse(maps, points, iters=iters)
        fine, score = self.track_fine(pictures, points, steps[-1])
        return {"coarse": steps[-1], "vis": vis, "fine": fine, "score": score, "coarse_iters": steps}

    def infer(
        self, images: Video | Sequence[U8], queries: ArrayLike, *, settings: VideoTracking | None = None, report: Report = silent
    ) -> Tracks2D:
        """Follows points through a video or a set of photos, from each query to all other frames.

        Args:
            images: A video of T frames, or T photos (H, W, 3) uint8 of any sizes.
            queries: (N, 3) (t, x, y), t a frame index, continuous pixels.
            settings: How much is done at once, and how well.
            report: Told the progress; may raise `Cancelled`.

        Returns:
            N tracks in pixels of each frame. Their confidence is the network's own chance of being seen, not calibrated; sigma is
            unknown.

        Raises:
            UserError: for queries outside their frame.
        """
        frames = list(images.frames) if isinstance(images, Video) else images
        sizes = np.array([(frame.shape[1], frame.shape[0]) for frame in frames])
        asked = checked_queries(queries, frames=len(frames), size=(int(sizes[:, 0].max()), int(sizes[:, 1].max())))
        outside = np.flatnonzero((asked[:, 1:] > sizes[asked[:, 0].astype(int)]).any(1))
        if len(outside):
            t, x, y = asked[outside[0]]
            width, height = sizes[int(t)]
            raise UserError(f"Query {outside[0]} at ({x:g}, {y:g}) is outside photo {int(t)} of {width} x {height} px.")
        return track_video(self, frames, asked, settings, report=report)

    def estimate(self, frames: int, queries: ArrayLike, *, settings: VideoTracking | None = None) -> Estimate:
        """Seconds and memory that `infer` will take on this machine with these queries (N, 3) in a video of so many frames."""
        moments = np.asarray(queries, np.float64).reshape(-1, 3)[:, 0]
        return estimate(moments, frames, settings, device=self.coarse_fnet.conv1.weight.device)

    def encode(self, images: Tensor) -> Tensor:
        """(S, 3, H, W), uint8 or in 0..1, to feature maps (S, 128, H / 8, W / 8)."""
        size = (images.shape[-2] // HALVED, images.shape[-1] // HALVED)
        maps = [self.coarse_fnet(resized(_in_unit_range(image[None]), size)) for image in images]
        # Features of a pixel lie together: the correlation then reads them without another copy.
        return torch.cat(maps).contiguous(memory_format=torch.channels_last)

    def track_coarse(self, maps: Tensor, queries: Tensor, *, iters: int = ITERATIONS, tick: Tick = no_tick) -> tuple[Tensor, Tensor]:
        """Places (iters, S, N, 2) in image pixels and the chance (S, N) of being seen, from maps and queries (N, 2) of frame 0."""
        found = self.coarse_predictor(maps[None], queries[None] / STRIDE, iterations=iters, tick=tick)
        assert found.visible is not None
        return found.steps[:, 0].transpose(1, 2) * STRIDE, found.visible[0].transpose(0, 1)

    def track_fine(self, images: Tensor, queries: Tensor, coarse: Tensor, *, tick: Tick = no_tick) -> tuple[Tensor, Tensor]:
        """Refines coarse places within small patches.

        Args:
            images: (S, 3, H, W), uint8 or in 0..1.
            queries: (N, 2) pixels of image 0.
            coarse: (S, N, 2) pixels.
            tick: Called after each layer of the transformer.

        Returns:
            Places (S, N, 2) in pixels and spread (S, N).
        """
        corners = patch_corners(coarse)
        inside = published_corners(corners, (images.shape[-2], images.shape[-1])) if self.parity else corners
        patches = _in_unit_range(cut_patches(images, inside))
        refined, features = refine_in_patches(self.fine_fnet, self.fine_predictor, patches, queries - corners[0], tick=tick)
        places = refined.steps[-1][:, 0].transpose(0, 1)  # (S, N, 2)
        fine = corners + places
        fine[0] = queries
        measure = published_spread if self.parity else own_spread
        return fine, measure(features, places, refined.query_feature[:, 0])

    def _checked(self, images: ArrayLike | Tensor, queries: ArrayLike | Tensor) -> tuple[Tensor, Tensor]:
        device = self.coarse_fnet.conv1.weight.device
        pictures = torch.as_tensor(images, device=device)
        if pictures.ndim == 5 and len(pictures) == 1:
            pictures = pictures[0]
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise UserError(f"The images have shape {tuple(pictures.shape)}, but (S, 3, H, W) is needed.")
        if min(pictures.shape[-2:]) < LEAST_SIDE or pictures.shape[-2] % STRIDE or pictures.shape[-1] % STRIDE:
            size = f"{pictures.shape[-1]} x {pictures.shape[-2]}"
            raise UserError(f"The images have {size} pixels, but at least {LEAST_SIDE} on each side and multiples of {STRIDE} are needed.")
        pictures = _in_unit_range(pictures)
        points = torch.as_tensor(queries, device=device).float()
        if points.ndim == 3 and len(points) == 1:
            points = points[0]
        if points.ndim != 2 or points.shape[1] != 2:
            raise UserError(f"The queries have shape {tuple(points.shape)}, but (N, 2) is needed.")
        return pictures, points


def _in_unit_range(images: Tensor) -> Tensor:
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()
