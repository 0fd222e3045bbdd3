"""Generated pairs of pointmaps: exact, dense, the same for the same seed, and apart from what judges."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from toolkit.synthetic.pointmap_rendering import pixel_rays, pointmap_pairs  # noqa: E402
from toolkit.synthetic.pointmap_scenes import HELD_OUT, HELD_OUT_SEEDS, VALIDATION_SEEDS, pointmap_scenes, rotations  # noqa: E402
from toolkit.training.pairpointmap_batches import PairMix, pair_batch  # noqa: E402

SIZE = (64, 48)


@pytest.fixture(scope="module")
def pairs():
    return pointmap_pairs(range(8), [(0.2, 0.8)] * 8, size=SIZE)


def test_every_pixel_shows_something_and_the_unit_is_its_mean_distance(pairs):
    assert bool(torch.isfinite(pairs.base).all() and torch.isfinite(pairs.recon).all())
    assert bool((pairs.base[..., 2] > 0).all() and (pairs.depth > 0).all())
    assert torch.allclose(pairs.base.norm(dim=-1).log().mean((1, 2)), torch.zeros(8), atol=1e-4)
    assert bool(((pairs.images >= 0) & (pairs.images <= 1)).all())


def test_points_project_to_their_own_pixels(pairs):
    rays = pixel_rays(pairs.focal, SIZE).reshape(8, SIZE[1], SIZE[0], 3)
    assert torch.allclose(pairs.base / pairs.base[..., 2:], rays, atol=1e-4)
    own = torch.einsum("bij,bhwi->bhwj", pairs.T_1j[:, :3, :3], pairs.recon - pairs.T_1j[:, None, None, :3, 3])
    assert torch.allclose(own / own[..., 2:], rays, atol=1e-3)
    assert torch.allclose(own[..., 2], pairs.depth, rtol=1e-3)


def test_what_does_not_move_stays_and_what_is_seen_twice_is_at_one_place(pairs):
    assert float((pairs.tracked - pairs.base).norm(dim=-1)[~pairs.moves].max()) < 1e-4
    assert float((pairs.tracked - pairs.base).norm(dim=-1)[pairs.moves].max()) > 0.02
    for i in range(8):
        at = pairs.at[i][pairs.seen[i]]
        column, row = (at[:, 0] * SIZE[0]).long().clamp(0, SIZE[0] - 1), (at[:, 1] * SIZE[1]).long().clamp(0, SIZE[1] - 1)
        apart = (pairs.recon[i][row, column] - pairs.tracked[i][pairs.seen[i]]).norm(dim=-1)
        assert float(apart.median()) < 0.05, "within a pixel"


def test_mirrored_pairs_are_as_true(pairs):
    for whole in (pairs.mirrored(), pointmap_pairs(range(8), [(0.2, 0.8)] * 8, size=(128, 96), step=2)):
        rays = pixel_rays(whole.focal, SIZE).reshape(8, SIZE[1], SIZE[0], 3)
        assert torch.allclose(whole.base / whole.base[..., 2:], rays, atol=1e-4)
        R, t = whole.T_1j[:, :3, :3], whole.T_1j[:, None, None, :3, 3]
        own = torch.einsum("bij,bhwi->bhwj", R, whole.recon - t)
        assert torch.allclose(own[..., 2], whole.depth, rtol=1e-3) and torch.allclose(torch.linalg.det(R), torch.ones(8), atol=1e-4)
        local = torch.einsum("bij,bhwi->bhwj", R, whole.tracked - t)
        focal = whole.focal[:, None, None]
        x = local[..., 0] / local[..., 2] * focal + 0.5
        assert torch.allclose(x[whole.seen], whole.at[..., 0][whole.seen], atol=1e-3)


def test_hidden_points_are_behind_what_is_seen(pairs):
    for i in range(8):
        inside = ((pairs.at[i] > 0) & (pairs.at[i] < 1)).all(-1) & ~pairs.seen[i]
        if not bool(inside.any()):
            continue
        local = (pairs.tracked[i][inside] - pairs.T_1j[i, :3, 3]) @ pairs.T_1j[i, :3, :3]
        at = pairs.at[i][inside]
        there = pairs.depth[i][(at[:, 1] * SIZE[1]).long(), (at[:, 0] * SIZE[0]).long()]
        assert float((local[:, 2] > 0.98 * there).float().mean()) > 0.9, "but for pixels at edges"


def test_a_frame_paired_with_itself_is_its_own_geometry():
    same = pointmap_pairs([3, 4], [(0.5, 0.5)] * 2, size=SIZE)
    assert torch.allclose(same.base, same.tracked, atol=1e-5) and torch.allclose(same.base, same.recon, atol=1e-5)
    assert torch.allclose(same.T_1j, torch.eye(4).expand(2, 4, 4), atol=1e-5)
    assert float(same.seen.float().mean()) > 0.97


def test_the_same_seed_gives_the_same_pair_whatever_it_is_made_with():
    alone = pointmap_pairs([5], [(0.2, 0.8)], size=SIZE)
    among = pointmap_pairs([1, 5, 9], [(0.1, 0.9), (0.2, 0.8), (0.0, 0.3)], size=SIZE)
    assert torch.allclose(alone.images[0], among.images[1], atol=1e-5) and torch.allclose(alone.tracked[0], among.tracked[1], atol=1e-5)


def test_figures_swing_their_limbs_about_joints_that_hold():
    scenes = pointmap_scenes(range(40))
    moving = (scenes.swing[..., 0].abs() > 0.1) & scenes.present
    assert int(moving.any(1).sum()) > 5
    for s in (0.1, 0.6):
        _, places = scenes.parts(torch.full((40,), s))
        reach = (places - (scenes.carrier + scenes.velocity * s)).norm(dim=-1)[moving]
        assert float(reach.max()) < 6, "a limb stays with its trunk"


def test_rotations_are_rotations():
    R = rotations(torch.randn(20, 3))
    assert torch.allclose(R @ R.transpose(1, 2), torch.eye(3).expand(20, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(R), torch.ones(20), atol=1e-5)
    assert torch.allclose(rotations(torch.zeros(1, 3)), torch.eye(3)[None], atol=1e-6)


def test_nothing_is_learned_from_seeds_that_judge_and_gaps_grow():
    assert VALIDATION_SEEDS.stop <= HELD_OUT_SEEDS.start and HELD_OUT.textures != PairMix().recipe.textures
    mix = PairMix(sizes=((32, 32),), told=0.5)
    batch, told = pair_batch(0, 7, 0.0, 6, mix)
    again, told_again = pair_batch(0, 7, 0.0, 6, mix)
    assert torch.equal(batch.images, again.images) and torch.equal(told.nan_to_num(), told_again.nan_to_num())
    apart = [
        float((pair_batch(0, step, progress, 6, mix)[0].T_1j[:, :3, 3]).norm(dim=1).mean()) for progress in (0.0, 1.0) for step in range(4)
    ]
    assert sum(apart[4:]) > sum(apart[:4])


def test_a_clip_comes_with_its_truth():
    from toolkit.geometry.cameras import project
    from toolkit.synthetic.pointmap_clips import pointmap_clip

    clip: Any = pointmap_clip(20_000_201, 4, size=(64, 48), every_px=4)
    assert clip.video is not None and clip.video.frames.shape == (4, 48, 64, 3)
    xy, z = project(clip.tracks_3d.xyz.astype(float), clip.cameras.K, clip.cameras.T_wc)
    seen = clip.tracks_2d.visible
    assert abs(xy - clip.tracks_2d.xy)[seen].max() < 0.05
    column, row = (clip.tracks_2d.xy[:, 2].astype(int)[seen[:, 2]]).T
    off = abs(clip.depth.depth[2, row, column] / z[seen[:, 2], 2] - 1)
    assert sorted(off)[len(off) // 2] < 0.02, "within a pixel"
