"""What MP4 files say about themselves."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportArgumentType=false
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from toolkit.media.completeness import missing_bytes
from toolkit.media.container import lens_meshes, read_container
from toolkit.media.spherical import Spherical, read_mshp


class BitWriter:
    """Bits one after another, most significant first."""

    def __init__(self):
        self.bits = []

    def number(self, value, width):
        self.bits += [(value >> (width - 1 - i)) & 1 for i in range(width)]

    def delta(self, value, width):
        self.number(value * 2 if value >= 0 else -value * 2 - 1, width)

    def align(self):
        self.bits += [0] * (-len(self.bits) % 8)

    def bytes(self):
        return np.packbits(np.array(self.bits, np.uint8)).tobytes()


def mesh_payload(vertices, order, kind=1):
    """A mesh box's payload as the specification (Spherical Video V2) lays it out."""
    table = np.unique(vertices.astype(">f4"))
    index = np.searchsorted(table, vertices.astype(">f4"))
    out = BitWriter()
    out.number(len(vertices), 32)
    width = math.ceil(math.log2(len(table) * 2))
    for deltas in np.diff(index, axis=0, prepend=np.zeros((1, 5), int)):
        for value in deltas:
            out.delta(int(value), width)
    out.align()
    out.number(1, 32)
    out.number(0, 8)
    out.number(kind, 8)
    out.number(len(order), 32)
    width = math.ceil(math.log2(len(vertices) * 2))
    for value in np.diff(order, prepend=0):
        out.delta(int(value), width)
    out.align()
    return struct.pack(">I", len(table)) + table.tobytes() + out.bytes()


def grid_mesh(n=9, tilt=0.0):
    """A half sphere with `n` x `n` vertices as a triangle strip: rays with y up and -z forward."""
    u, v = np.meshgrid(np.linspace(0, 1, n), np.linspace(1, 0, n))
    yaw, pitch = (u - 0.5) * np.pi, (v - 0.5) * np.pi + tilt
    rays = np.stack([np.cos(pitch) * np.sin(yaw), np.sin(pitch), -np.cos(pitch) * np.cos(yaw)], -1)
    vertices = np.concatenate([rays, u[..., None], v[..., None]], -1).reshape(-1, 5)
    strip = []
    for row in range(n - 1):
        line = [index for c in range(n) for index in (row * n + c, (row + 1) * n + c)]
        strip += ([line[0]] if strip else []) + line + [line[-1]]
    return vertices.astype(np.float32), np.array(strip)


def mshp(*meshes, deflate=False, box, crc=None):
    body = b"".join(box(b"mesh", mesh) for mesh in meshes)
    if deflate:
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(body) + packer.flush()
    coded = (b"dfl8" if deflate else b"raw ") + body
    return struct.pack(">II", 0, zlib.crc32(coded) if crc is None else crc) + coded


def sv3d(box, *projection, yaw=0, pitch=0, roll=0):
    header = box(b"prhd", struct.pack(">I3i", 0, *(int(a * 65536) for a in (yaw, pitch, roll))))
    return box(b"sv3d", box(b"svhd", b"\0\0\0\0maker\0"), box(b"proj", header, *projection))


@pytest.mark.parametrize(
    ("mode", "layout", "swapped"), [(0, "mono", False), (1, "top-bottom", False), (2, "side-by-side", False), (4, "side-by-side", True)]
)
def test_stereo_modes_are_read(tmp_path, encode, inject, box, mode, layout, swapped):
    path = inject(encode(tmp_path / "clip.mp4", count=3), box(b"st3d", b"\0\0\0\0", bytes([mode])))
    found = read_container(path)
    assert (found.spherical.stereo_layout, found.spherical.swapped, found.codec) == (layout, swapped, "avc1")


def test_equirect_bounds_and_pose_are_read(tmp_path, encode, inject, box):
    quarter, sixteenth = 2**30, 2**28
    equi = box(b"equi", struct.pack(">5I", 0, sixteenth, sixteenth, quarter, quarter))
    path = inject(encode(tmp_path / "clip.mp4", count=3), sv3d(box, equi, yaw=10, pitch=-5.5))
    found = read_container(path).spherical
    assert found.projection == "equirect"
    assert found.fov_bounds_deg == (-90, 90, -78.75, 78.75)
    assert found.pose_deg == (10, -5.5, 0)


@pytest.mark.parametrize("deflate", [False, True])
def test_lens_meshes_are_read_to_the_last_bit(tmp_path, encode, inject, box, deflate):
    meshes = [grid_mesh(), grid_mesh(7, tilt=0.1)]
    extra = sv3d(box, box(b"mshp", mshp(*(mesh_payload(*m) for m in meshes), deflate=deflate, box=box)))
    found = read_container(inject(encode(tmp_path / "clip.mp4", count=3), extra))
    assert found.notes == ()
    for mesh, (vertices, _) in zip(found.spherical.meshes, meshes, strict=True):
        assert np.array_equal(mesh.vertices, vertices)
        assert len(mesh.triangles) == 2 * (round(len(vertices) ** 0.5) - 1) ** 2


def test_triangle_lists_and_fans_are_read(box):
    vertices, _ = grid_mesh(3)
    for kind, order, expected in ((0, [0, 1, 3, 1, 4, 3], [[0, 1, 3], [1, 4, 3]]), (2, [4, 0, 1, 2], [[4, 0, 1], [4, 1, 2]])):
        found = read_mshp(mshp(mesh_payload(vertices, np.array(order), kind), box=box), Spherical())
        assert found.meshes[0].triangles.tolist() == expected


def test_the_lens_of_a_mesh_sees_what_its_vertices_say(box):
    vertices, strip = grid_mesh(33)
    found = read_mshp(mshp(mesh_payload(vertices, strip), box=box), Spherical())
    left, right = lens_meshes(found.meshes, (200, 100))
    for lens in (left, right):
        np.testing.assert_allclose(lens.rays(np.array([[100.0, 50.0]])), [[0, 0, 1]], atol=1e-6)
        ray = lens.rays(np.array([[150.0, 25.0]]))[0]  # right of the middle and above it
        np.testing.assert_allclose(ray, [0.5, -np.sqrt(0.5), 0.5], atol=5e-3)


def test_a_wrong_checksum_is_noted_and_a_broken_mesh_left_out(box):
    good = mesh_payload(*grid_mesh(5))
    assert "checksum" in read_mshp(mshp(good, box=box, crc=1), Spherical()).notes[0]
    for broken in (good[:100], good[:-40], b"", struct.pack(">I", 2**31 - 1)):
        found = read_mshp(mshp(broken, box=box), Spherical())
        assert found.meshes == () and "can't be read" in found.notes[0]


def test_a_mesh_that_inflates_without_end_is_refused(box):
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(80 << 20)) + packer.flush()
    found = read_mshp(struct.pack(">II", 0, 0) + b"dfl8" + bomb, Spherical())
    assert found.meshes == () and "too large" in found.notes[0]


V1 = """<?xml version="1.0"?><rdf:SphericalVideo xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">
<GSpherical:Spherical>true</GSpherical:Spherical><GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType>
<GSpherical:StereoMode>left-right</GSpherical:StereoMode>
<GSpherical:FullPanoWidthPixels>4000</GSpherical:FullPanoWidthPixels><GSpherical:FullPanoHeightPixels>2000</GSpherical:FullPanoHeightPixels>
<GSpherical:CroppedAreaLeftPixels>1000</GSpherical:CroppedAreaLeftPixels><GSpherical:CroppedAreaTopPixels>0</GSpherical:CroppedAreaTopPixels>
<GSpherical:CroppedAreaImageWidthPixels>2000</GSpherical:CroppedAreaImageWidthPixels>
<GSpherical:CroppedAreaImageHeightPixels>2000</GSpherical:CroppedAreaImageHeightPixels></rdf:SphericalVideo>"""


def test_the_older_xml_is_read_and_gives_way_to_the_newer_boxes(tmp_path, encode, inject, box):
    uuid = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
    path = inject(encode(tmp_path / "clip.mp4", count=3), box(b"uuid", uuid, V1.encode()), into="track")
    found = read_container(path).spherical
    assert (found.stereo_layout, found.projection, found.fov_bounds_deg) == ("side-by-side", "equirect", (-90, 90, -90, 90))
    inject(path, box(b"st3d", b"\0\0\0\0\1"))
    assert read_container(path).spherical.stereo_layout == "top-bottom"


def motion_file(path, box, samples, per_chunk=4, ticks=40):
    """A file with a motion track alone: samples in chunks with gaps between them."""
    media, chunks, at = b"", [], 8
    for start in range(0, len(samples), per_chunk):
        chunk = b"".join(samples[start : start + per_chunk])
        chunks.append(at)
        media += chunk + b"gap"
        at += len(chunk) + 3
    last = len(samples) % per_chunk or per_chunk
    runs = [(1, per_chunk, 1)] + ([(len(chunks), last, 1)] if last != per_chunk and len(chunks) > 1 else [])
    table = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), box(b"camm", bytes(6), b"\0\1")),
        box(b"stts", struct.pack(">4I", 0, 1, len(samples), ticks)),
        box(b"stsz", struct.pack(">3I", 0, 0, len(samples)), *(struct.pack(">I", len(s)) for s in samples)),
        box(b"stsc", struct.pack(">2I", 0, len(runs)), *(struct.pack(">3I", *r) for r in runs)),
        box(b"stco", struct.pack(">2I", 0, len(chunks)), *(struct.pack(">I", c) for c in chunks)),
    )
    header = struct.pack(">5I", 0, 0, 0, 1000, 0)
    track = box(b"trak", box(b"mdia", box(b"mdhd", header), box(b"hdlr", bytes(8), b"camm", bytes(12)), box(b"minf", table)))
    path.write_bytes(box(b"mdat", media) + box(b"moov", box(b"mvhd", header), track))
    return path


def angle_axis(vector):
    return struct.pack("<2H3f", 0, 0, *vector)


def test_orientations_are_read_between_samples_of_other_kinds(tmp_path, box):
    turns = np.random.default_rng(0).normal(0, 0.4, (11, 3)).astype(np.float32)
    samples = []
    for turn in turns:
        samples += [angle_axis(turn), struct.pack("<2H3f", 0, 3, 0, 9.8, 0), struct.pack("<2H3d", 0, 5, 1, 2, 3)]
    found = read_container(motion_file(tmp_path / "motion.mp4", box, samples)).orientations
    np.testing.assert_allclose(found.times_s, np.arange(11) * 0.12, atol=1e-12)
    np.testing.assert_allclose(Rotation.from_matrix(found.R_wc).as_rotvec(), turns, atol=1e-7)


def test_orientations_between_samples_lie_on_the_shortest_turn(tmp_path, box):
    path = motion_file(tmp_path / "motion.mp4", box, [angle_axis((0, 0, 0)), angle_axis((0, 0.2, 0))], ticks=100)
    found = read_container(path).orientations.at(np.array([-1.0, 0.05, 9.0]))
    np.testing.assert_allclose(Rotation.from_matrix(found).as_rotvec()[:, 1], [0, 0.1, 0.2], atol=1e-7)


def test_a_motion_track_whose_tables_lie_is_noted(tmp_path, box):
    path = motion_file(tmp_path / "motion.mp4", box, [angle_axis((0, 0, 0))] * 9)
    data = path.read_bytes()
    place = data.index(b"stsz") + 12
    path.write_bytes(data[:place] + struct.pack(">I", 2**31) + data[place + 4 :])
    found = read_container(path)
    assert found.orientations is None and "camm" in found.notes[0]


def test_whole_files_lack_nothing_and_cut_ones_tell(tmp_path, encode):
    path = encode(tmp_path / "clip.mp4", count=20)
    assert missing_bytes(path) == ""
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") + 50])
    assert "moov" in missing_bytes(path)
    path.write_bytes(data[: data.index(b"moov") - 4])
    assert "index" in missing_bytes(path)
    path.write_bytes(data + b"\0\0\0\5junk at the end")
    assert missing_bytes(path) == ""
    path.write_bytes(b"no boxes at all, only words")
    assert missing_bytes(path) == ""


@pytest.fixture(scope="module")
def rich_file(tmp_path_factory, encode, inject, box):
    """A file with every box that is read."""
    path = encode(tmp_path_factory.mktemp("rich") / "clip.mp4", count=3)
    payload = box(b"mshp", mshp(mesh_payload(*grid_mesh(4)), box=box))
    inject(path, box(b"st3d", b"\0\0\0\0\1") + sv3d(box, payload, box(b"equi", bytes(20))))
    return inject(path, box(b"uuid", bytes.fromhex("ffcc8263f8554a938814587a02521fdd"), V1.encode()), into="track")


@settings(max_examples=150)
@given(data=st.data())
def test_no_damage_to_the_boxes_ends_in_anything_but_a_result(rich_file, tmp_path_factory, data):
    content = bytearray(rich_file.read_bytes())
    start = content.index(b"moov") - 4
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(start, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(start, len(content)))
    broken = rich_file.with_name("broken.mp4")
    broken.write_bytes(content[:cut] if data.draw(st.booleans()) else content)
    assert isinstance(missing_bytes(broken), str)
    assert isinstance(read_container(broken).notes, tuple)


def test_a_motion_track_that_claims_no_samples_is_no_motion_track(tmp_path, box):
    path = motion_file(tmp_path / "motion.mp4", box, [angle_axis((0, 1, 0))] * 9)
    content = bytearray(path.read_bytes())
    at = content.index(b"stsz") + 4 + 8  # after version and the fixed size
    content[at : at + 4] = bytes(4)
    path.write_bytes(content)
    assert read_container(path).orientations is None


@settings(max_examples=100)
@given(data=st.data())
def test_no_damage_to_a_motion_track_ends_in_anything_but_a_result(tmp_path_factory, box, data):
    path = tmp_path_factory.mktemp("motion") / "motion.mp4"
    content = bytearray(motion_file(path, box, [angle_axis((0, 1, 0))] * 9).read_bytes())
    start = content.index(b"moov") - 4
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(start, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    assert isinstance(read_container(path).notes, tuple)


@pytest.mark.data
def test_the_mesh_of_a_real_camera_equals_the_published_decoding(data):
    folder = data / "google_vr180"
    found = read_container(folder / "video-sample-inject.mp4")
    truth = np.load(folder / "mesh_projection.npz")
    assert (found.spherical.stereo_layout, found.spherical.projection, found.notes) == ("top-bottom", "mesh", ())
    for eye, mesh in enumerate(found.spherical.meshes):
        strip = truth[f"strip_{eye}"]
        faces = np.stack([strip[:-2], strip[1:-1], strip[2:]], 1)
        faces = faces[[len(set(f)) == 3 for f in faces.tolist()]]
        assert np.array_equal(mesh.vertices.astype(np.float32), truth[f"vertices_{eye}"])
        assert np.array_equal(np.sort(mesh.triangles, 1), np.sort(faces, 1))


@pytest.mark.data
def test_the_motion_track_of_a_real_camera_equals_the_published_decoding(data):
    found = read_container(data / "google_vr180" / "video-sample-inject.mp4").orientations
    truth = np.loadtxt(data / "google_vr180" / "camm_orientation.csv", delimiter=",", comments="#")
    np.testing.assert_allclose(found.times_s, truth[:, 0], atol=1e-6)
    np.testing.assert_allclose(Rotation.from_matrix(found.R_wc).as_rotvec(), truth[:, 2:], atol=1e-7)
