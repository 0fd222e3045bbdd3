"""From photos to what they have in common: features of each, a quick look at all pairs, a full look at those that promise something."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import U8, B
from toolkit.sfm.feature_store import Store
from toolkit.sfm.features import FeatureOptions, Features, find_features
from toolkit.sfm.matching import MatchOptions, Pairs, match
from toolkit.sfm.two_view import TwoView, TwoViewOptions, verify

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class PairOptions:
    """Which pairs of photos are looked at closely.

    Attributes:
        quick: Features of each photo, the largest ones, in the first look; costs a sixteenth of the full one.
        promising: Matches of the first look from which on a pair is worth the full one.
        partners: Pairs a photo gets the full look at in any case, its best ones by the first look.
        all_up_to: With so few features in both, the first look is the full one.
    """

    quick: int = 2048
    promising: int = 12
    partners: int = 6
    all_up_to: int = 3000


def features_of(
    photos: Sequence[tuple[str, Callable[[], tuple[U8, B | None]]]], options: FeatureOptions, store: Store, report: Report = silent
) -> list[Features]:
    """Features of every photo.

    Args:
        photos: For each its content's hash, and a function that reads it: (H, W, 3) uint8 RGB and where to ignore it.
        options: How features are found.
        store: Where they are kept.
        report: Called per photo.
    """

    def one(photo: tuple[str, Callable[[], tuple[U8, B | None]]]) -> Features:
        content, read = photo

        def make() -> dict[str, np.ndarray]:
            found = _of_picture(*read(), options)
            return {"xy": found.xy, "scale_px": found.scale_px, "descriptor": found.descriptor}

        return Features(**store.get("features", (content, options), make))

    report(0, len(photos))
    found = []
    for features in in_order(one, photos):
        found.append(features)
        report(len(found), len(photos))
    return found


def _of_picture(rgb: U8, ignore: B | None, options: FeatureOptions) -> Features:
    height, width = rgb.shape[:2]
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    shrink = min(1.0, options.max_side / max(width, height))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    if shrink < 1:
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        ignore = None if ignore is None else cv2.resize(ignore.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0  # type: ignore[assignment]
    return find_features(grey, enlarged=(width / size[0], height / size[1]), ignore=ignore, options=options)  # type: ignore[arg-type]


def pairs_of(
    content: Sequence[str],
    features: Sequence[Features],
    cameras: Sequence[pycolmap.Camera],
    *,
    options: PairOptions,
    matching: MatchOptions,
    geometry: TwoViewOptions,
    store: Store,
    seed: int,
    report: Report = silent,
) -> dict[tuple[int, int], TwoView]:
    """All pairs of photos that show the same, with the matches that one relative pose explains.

    Args:
        content: For each photo a text that stands for its features, such as its hash.
        features: Of each photo.
        cameras: Of each photo.
        options: Which pairs are looked at closely.
        matching: How alike matches must be.
        geometry: How well they must agree.
        store: Where matches are kept.
        seed: Of the random samples.
        report: Called per pair, twice over.
    """
    count = len(features)
    every = [(i, j) for i in range(count) for j in range(i + 1, count)]
    total = 2 * len(every)

    def matched(pair: tuple[int, int], most: int | None) -> Pairs:
        i, j = pair
        a, b = features[i].descriptor[:most], features[j].descriptor[:most]
        made_of = (content[i], content[j], most, matching)
        return store.get("matches", made_of, lambda: {"pairs": match(a, b, matching)})["pairs"]

    def small(pair: tuple[int, int]) -> bool:
        return max(len(features[pair[0]]), len(features[pair[1]])) <= options.all_up_to

    quick: dict[tuple[int, int], int] = {}
    for pair, pairs in zip(every, in_order(lambda p: matched(p, None if small(p) else options.quick), every), strict=True):
        quick[pair] = len(pairs)
        report(len(quick), total)
    chosen = _promising(quick, count, options)
    found: dict[tuple[int, int], TwoView] = {}

    def looked(pair: tuple[int, int]) -> TwoView | None:
        i, j = pair
        return verify(features[i].xy, features[j].xy, matched(pair, None), (cameras[i], cameras[j]), geometry, seed)

    for n, (pair, result) in enumerate(zip(chosen, in_order(looked, chosen), strict=True)):
        if result is not None:
            found[pair] = result
        report(len(every) + (n + 1) * len(every) // max(1, len(chosen)), total)
    return found


def _promising(quick: Mapping[tuple[int, int], int], count: int, options: PairOptions) -> list[tuple[int, int]]:
    best: list[list[tuple[int, tuple[int, int]]]] = [[] for _ in range(count)]
    for pair, matches in quick.items():
        for t in pair:
            best[t].append((-matches, pair))
    kept = {pair for ranked in best for _, pair in sorted(ranked)[: options.partners]}
    return sorted(kept | {pair for pair, matches in quick.items() if matches >= options.promising})
