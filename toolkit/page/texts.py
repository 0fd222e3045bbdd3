"""Every sentence of the page, in one place: to be read as a whole, and translated if need be."""

from __future__ import annotations

TITLE = "Lift4D"
WELCOME = """# Lift4D
**A video goes in; a 4D scene comes out.** Point tracks, depth, the camera's path and everything's motion in the world,
as views to look at and as files that other tools open."""
FOOT = (
    "Your clip and its results are seen by nobody else. They are deleted {left} after you close this page, "
    "and in any case when nothing was asked for during {idle}. Nothing is sent to other hosts."
)

BRING = "### 1 · Bring a clip"
UPLOAD = (
    "A video, a zip of several, photos, a Stereo4D `.npz` with its video, or 2D tracks as `.npz`; at most {size}. "
    "Or open an example: its result is there already."
)
NOTHING_YET = "Bring a clip above, or open an example. It is looked at before anything is computed."
LOOKING = "Looking at {name} …"
PAIR = "Below, each yellow line meets the same things in both."
METER = "Vertical disparity"
METER_NONE = "The eyes have too little in common to compare their rows."
METER_GOOD = "The rows of both eyes agree."
METER_FAIR = "The rows of both eyes agree roughly; depth will be somewhat worse."
METER_POOR = "The rows of both eyes do not agree: this may not be VR180, or not be what it is declared as."
SWAPPED = "The eyes look swapped; a run exchanges them."
CUT = "Of the {frames} frames, the first {used} are used; choose others under Advanced."
NO_METHOD = "No method takes this kind of recording yet ({kind}). Bring one of: {takes}; or open an example."
SEVERAL = "These are several cameras side by side, but no method takes them as they are, so there is nothing to run."
HAS_RESULT = "This file holds a finished scene: Run opens it, nothing is computed."

CHOOSE = "### 2 · Choose"
KIND = "What the clip is"
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "found": ("As found", {}),
    "vr180-sbs": ("VR180, side by side", {"layout": "side-by-side", "projection": "equirect"}),
    "vr180-tb": ("VR180, top and bottom", {"layout": "top-bottom", "projection": "equirect"}),
    "stereo-sbs": ("Flat stereo, side by side", {"layout": "side-by-side", "projection": "pinhole"}),
    "stereo-tb": ("Flat stereo, top and bottom", {"layout": "top-bottom", "projection": "pinhole"}),
}
METHOD = "Method"
PRESET = "Preset"
PRESETS = {"draft": "Draft", "normal": "Normal", "fine": "Fine"}
PRESET_INFO = "Draft for a quick look, Fine for the best depth. Times are for two cores."
COST = "{name} · about {seconds} · {memory:.1f} GB"
POINTS = "Points to follow (none: a grid over the whole clip)"
POINTS_HOW = "Click on things in any frame. The points are followed both ways in time."
FRAME = "Frame"
UNDO = "Undo"
CLEAR = "Clear"
PASTE = "Points as lines t,x,y (frame, pixels of the picture above)"
PASTE_DO = "Take these points"
ADVANCED = "Advanced"
FRAMES = "Frames at most"
FRAMES_INFO = "0: as many as the method takes."
SETTINGS = "Settings, a line each"
SETTINGS_INFO = "Such as fov_deg = 80. The method knows:"

RUN = "Run"
CANCEL = "Cancel"
READY = "Ready"
READY_SHOWN = "Ready. Shown below: {what}"
WAITING = "Waiting for a free place; one clip is computed at a time"
DONE = "Done in {seconds}, {memory:.1f} GB of memory at most"
DONE_POORLY = "{done}. Poor, so see Quality: {poor}"
CANCELLED = "Cancelled; nothing of it was kept. What was shown before is still there."
OPENED = "Opened: {what}"
TIME_LEFT = "{time} left"
STARTING = "Starting"
LONGER = "It takes longer than was expected."
IN_ALL = "about {time} left in all"

TAB_TRACKS, TAB_DEPTH, TAB_SCENE, TAB_CAMERAS, TAB_QUALITY, TAB_MEASURE, TAB_FILES = (
    "Tracks",
    "Depth",
    "4D",
    "Cameras",
    "Quality",
    "Measure",
    "Files",
)
TRACKS = "Moving points are warm, still ones cool, hidden ones hollow. Each trails where it was."
STABILISE = "Remove camera motion"
DEPTH = "One colour range for the whole clip: what is still does not flicker. Hatched: unknown."
CAMERAS = "The path from above with where the camera looked; how it turned and rose over time."
NO_TRACKS = "This result has no video with tracks in it: either the clip's pictures or the tracks are missing."
NO_DEPTH = "This result has no depth of its pixels, so there is no video of it."
NO_CAMERAS = "This result has no camera poses, so there is no path to show."
FLY = "As a video, for screens without 3D"
NOTHING_MEASURED = "Nothing measured yet: run a clip or open an example."
A_MOMENT = "One moment …"
NO_SCENE = "The interactive scene appears here once a clip is run or an example is open."
NO_FILES = "The files appear here once a clip is run or an example is open."
MEASURE_HOW = "Click two points to measure between them, or one point to read its track's speed."
MEASURE_MODES = {"distance": "Distance between two points", "speed": "Speed of a track"}
MEASURE_FIRST = "First point taken; click the second one."
EVERYTHING = "Everything as one zip"
IN_ZIP = "Also in the zip: {names}."
NOTES = "Notes"

NO_CLIP = "Bring a clip first, or open an example."
WITHOUT_FILES = "An example is thinned to some hundred tracks, and so are its files; run it to get all of them."
NOT_UPLOADED = "{name} is {value}, but what was uploaded is needed; gradio_client uploads with handle_file(path)."
NOT_HERE = "That file is not here any more; bring it again."
NO_RESULT = "There is no result yet; run a clip or open an example first."
FAULT = "Something went wrong on our side; it is noted as incident {incident}."
FAULT_TITLE = "Our fault"
PROBLEM_TITLE = "This needs a change"
OUT_OF_MEMORY = "This took more memory than there is, so it was stopped; choose Draft, or fewer frames under Advanced."
TOO_SLOW = "Looking at this took more than {seconds:.0f} s, so it was given up; bring a shorter or smaller clip."
TOO_LONG = "A run takes {time} at most on this page, so it was ended; choose Draft or fewer frames, or use the shell."
TOO_LONG_AHEAD = (
    "All of this clip should take {quickest}, but a run takes {limit} at most on this page: "
    "ask for fewer frames under Advanced, or use the shell."
)
BUSY = "A run of yours is in work already; cancel it first."


def duration(seconds: float) -> str:
    """A length of time for a person: "8 s", "1 min 20 s", "2 h"."""
    whole = max(1, round(seconds))
    if whole < 90:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        rest = rest // 10 * 10
        return f"{minutes} min" + (f" {rest} s" if rest and minutes < 10 else "")
    hours = whole / 3600
    return f"{hours:.0f} h" if abs(hours - round(hours)) < 0.05 else f"{hours:.1f} h"
