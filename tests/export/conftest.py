"""A scene with known geometry for every test of this folder."""

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("room_scene", Path(__file__).parents[1] / "export" / "room_scene.py")
assert _spec is not None and _spec.loader is not None
room_scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(room_scene)


@pytest.fixture(scope="session")
def rooms():
    """The module that makes scenes: a textured room, a ball that moves through it, a camera that moves and turns."""
    return room_scene


@pytest.fixture(scope="session")
def room(rooms):
    """Ten frames of 96 x 64 with every part filled."""
    return rooms.room_scene()
