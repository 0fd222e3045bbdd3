"""Fractions of a pixel against pairs whose disparity is known exactly."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from toolkit.stereo.subpixel import SubpixelSettings, refine_subpixel

FINER = 8
SIZE = (160, 120)


def _texture(seed: int) -> np.ndarray:
    """A row-wise finer texture than the pictures cut from it, so that fractions of a pixel are exact."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(SIZE[1], FINER * (SIZE[0] + 32))).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigmaX=2.0 * FINER, sigmaY=2.0)
    return cv2.blur(np.asarray(128 + 35 * smooth / smooth.std(), np.float32), (FINER, 1))[..., None].repeat(3, axis=2)


def _picture(texture: np.ndarray, shift_px: float) -> np.ndarray:
    start = round(FINER * (16 + shift_px))
    return np.clip(np.rint(texture[:, start : start + FINER * SIZE[0] : FINER]), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("fraction", [0.125, 0.375, 0.625, 0.875])
def test_a_disparity_that_was_rounded_finds_its_fraction_again(fraction):
    texture, true = _texture(0), 5 + fraction
    start = np.full((SIZE[1], SIZE[0]), round(true), np.float32)
    found = refine_subpixel(start, _picture(texture, 0), _picture(texture, true))
    error = np.abs(found - true)[8:-8, 16:-8]
    assert np.median(error) < 0.35 * abs(round(true) - true)  # the rest is what the found disparities count
    assert np.percentile(error, 95) < 0.7 * abs(round(true) - true)


def test_an_eye_that_is_exposed_longer_moves_nothing():
    texture, true = _texture(1), 5.25
    left, right = _picture(texture, 0), _picture(texture, true)
    start = np.full(left.shape[:2], 5, np.float32)
    brighter = np.clip(right.astype(np.int16) + 12, 0, 255).astype(np.uint8)
    inside = np.s_[8:-8, 16:-8]
    same = refine_subpixel(start, left, right)[inside]
    assert np.median(np.abs(refine_subpixel(start, left, brighter)[inside] - same)) < 0.02


def test_at_an_edge_each_side_is_refined_by_its_own_pixels():
    near, far = _texture(2), _texture(3)
    true_near, true_far = 7.25, 3.25
    left, right = _picture(far, 0), _picture(far, true_far)
    column = np.arange(SIZE[0])
    in_front = (column >= 60) & (column < 100)
    left[:, in_front] = _picture(near, 0)[:, in_front]
    there = (column >= 60 - true_near) & (column < 100 - true_near)
    right[:, there] = _picture(near, true_near)[:, there]
    true = np.where(in_front, true_near, true_far).astype(np.float32)[None].repeat(SIZE[1], 0)
    start = np.round(true)
    side = np.s_[8:-8, 61:67]  # within the window's reach of the edge
    both = refine_subpixel(start, left, right, settings=replace(SubpixelSettings(), own_px=100.0))
    own = refine_subpixel(start, left, right)
    assert np.abs(own - true)[side].mean() < 0.12
    assert np.abs(own - true)[side].mean() < 0.5 * np.abs(both - true)[side].mean()


def test_repeated_steps_come_closer():
    texture, true = _texture(4), 5.45
    left, right = _picture(texture, 0), _picture(texture, true)
    start = np.full(left.shape[:2], 5, np.float32)
    inside = np.s_[8:-8, 16:-8]
    once, thrice = (refine_subpixel(start, left, right, settings=SubpixelSettings(steps=n))[inside] for n in (1, 3))
    assert np.abs(thrice - true).mean() < np.abs(once - true).mean()
