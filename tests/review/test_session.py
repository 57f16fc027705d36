"""Edits, undo and redo, acceptance and time, and their replay."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gynbtnet.imaging import Geometry, reorientation_to_lps
from gynbtnet.review.patches import Patch, patches_between
from gynbtnet.review.session import Identity, Refused, ReviewSession
from gynbtnet.runtime import BadInput

SHAPE = (6, 9, 8)
GEOMETRY = Geometry(SHAPE, (3.0, 1.0, 1.0))
NAMES = ("bladder", "rectum")


def automatic() -> dict[str, np.ndarray]:
    masks = {name: np.zeros(SHAPE, bool) for name in NAMES}
    masks["bladder"][1:5, 2:6, 2:6] = True
    masks["rectum"][0:6, 6:8, 2:6] = True
    return masks


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


_OPEN: list[ReviewSession] = []


@pytest.fixture(autouse=True)
def _close_sessions() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


def opened(path: Path, geometry: Geometry = GEOMETRY, clock: Callable[[], float] | None = None) -> ReviewSession:
    turn = reorientation_to_lps(geometry)
    identity = Identity("0" * 64, turn.geometry(geometry).shape, NAMES)
    clocks = {} if clock is None else {"clock": clock}
    _OPEN.append(ReviewSession(automatic(), geometry.spacing, turn, path, identity, **clocks))
    return _OPEN[-1]


def plane_patch(axis: int, index: int, voxels: list[tuple[int, int]]) -> Patch:
    changed = np.zeros(tuple(n for other, n in enumerate(SHAPE) if other != axis), bool)
    changed[tuple(np.transpose(voxels))] = True
    patch = Patch.of(changed, axis, index)
    assert patch is not None
    return patch


def copies(session: ReviewSession) -> dict[str, np.ndarray]:
    return {name: mask.copy() for name, mask in session.masks.items()}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 25))
def test_any_history_is_replayed_exactly(tmp_path: Path, seed: int, length: int) -> None:
    """After every action, a session opened from the journal has the same state; undoing all restores the prediction."""
    random = np.random.default_rng(seed)
    path = tmp_path / f"{seed}-{length}" / "journal"
    session = opened(path)
    states = [copies(session)]
    for _ in range(length):
        action = random.choice(["edit", "edit", "undo", "redo"])
        try:
            if action == "edit":
                axis = int(random.integers(3))
                changed = random.random(tuple(n for other, n in enumerate(SHAPE) if other != axis)) < 0.2
                patch = Patch.of(changed, axis, int(random.integers(SHAPE[axis])))
                if patch is not None:
                    session.edit(str(random.choice(NAMES)), "brush", [patch])
            else:
                getattr(session, action)()
        except Refused:
            assert not (session.done if action == "undo" else session.undone)
        states.append(copies(session))
    for name in NAMES:
        assert session.voxels(name) == session.masks[name].sum()
        assert session._per_slice[name].tolist() == session.displayed(name).sum(axis=(1, 2)).tolist()
        assert session.is_edited(name) == bool((session.masks[name] != session.automatic[name]).any())
    session.close()
    again = opened(path)
    assert all(np.array_equal(again.masks[name], session.masks[name]) for name in NAMES)
    assert (again.done, again.undone) == (session.done, session.undone)
    while again.done:
        again.undo()
    assert all(np.array_equal(again.masks[name], automatic()[name]) for name in NAMES)


def test_structures_may_overlap(tmp_path: Path) -> None:
    session = opened(tmp_path / "journal")
    session.edit("rectum", "brush", [plane_patch(0, 2, [(3, 3)])])
    assert session.masks["rectum"][2, 3, 3] and session.masks["bladder"][2, 3, 3]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interpolation_between_drawn_planes(tmp_path: Path, axis: int) -> None:
    """Two equal squares drawn in parallel planes give the same square between them, and nothing outside."""
    session = opened(tmp_path / "journal")
    low, high = 1, 4
    square = [(row, column) for row in (1, 2, 3) for column in (3, 4, 5)]
    before = session.displayed("rectum").copy()
    plane = np.zeros_like(np.take(before, 0, axis))
    plane[tuple(np.transpose(square))] = True
    for index in (low, high):
        patch = Patch.of(np.take(session.displayed("rectum"), index, axis) != plane, axis, index)
        session.edit("rectum", "brush", [patch])
    edit = session.interpolate("rectum", axis, 2)
    after = session.displayed("rectum")
    for index in range(SHAPE[axis]):
        expected = plane if low <= index <= high else np.take(before, index, axis)
        assert np.array_equal(np.take(after, index, axis), expected)
    assert {patch.index for patch in edit.patches} <= {2, 3}
    session.undo()
    assert session.drawn("rectum", axis) == {low, high}
    with pytest.raises(Refused, match="nothing to interpolate"):
        session.interpolate("rectum", axis, 5)


def test_a_structure_that_was_hardly_viewed_is_accepted_after_a_question(tmp_path: Path) -> None:
    session = opened(tmp_path / "journal")
    session.view([1, 2], "rectum")
    assert session.accept("bladder", accepted=True) is None, "two of four slices are enough"
    assert session.accept("rectum", accepted=True) == pytest.approx(2 / 6)
    assert session.accepted == {"bladder"}
    assert session.accept("rectum", accepted=True, sure=True) is None
    session.edit("bladder", "eraser", [plane_patch(0, 2, [(3, 3)])])
    assert session.accepted == {"rectum"}, "a changed structure is to be accepted again"
    session.close()
    again = opened(tmp_path / "journal")
    assert (again.accepted, again.viewed) == ({"rectum"}, {1, 2})


def test_active_time_leaves_out_pauses_and_closed_programs(tmp_path: Path) -> None:
    clock = Clock()
    session = opened(tmp_path / "journal", clock=clock)
    for seconds, structure in ((4, "bladder"), (29, "rectum"), (31, "rectum"), (3, "rectum"), (2, "bladder")):
        clock.now += seconds
        session.view([0], structure)
    session.close()
    clock.now += 5
    again = opened(tmp_path / "journal", clock=clock)
    clock.now += 7
    again.view([0], "bladder")
    assert again.seconds == pytest.approx({"bladder": 4 + 2 + 7, "rectum": 29 + 3})


def test_a_journal_of_another_prediction_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "journal").close()
    other = Identity("1" * 64, SHAPE, NAMES)
    with pytest.raises(BadInput, match="belongs to another prediction"):
        ReviewSession(automatic(), GEOMETRY.spacing, reorientation_to_lps(GEOMETRY), tmp_path / "journal", other)


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (Patch(3, 0, 0, 0, 1, 1, "gA=="), "plane is outside"),
        (Patch(0, 6, 0, 0, 1, 1, "gA=="), "plane is outside"),
        (Patch(0, -1, 0, 0, 1, 1, "gA=="), "plane is outside"),
        (Patch(0, 0, -1, 0, 1, 1, "gA=="), "negative"),
        (Patch(0, 0, 0, 0, 0, 1, ""), "empty"),
        (Patch(0, 0, 0, 0, 10, 1, "gIA="), "outside the plane"),
        (Patch(1, 0, 0, 8, 1, 1, "gA=="), "outside the plane"),
        (Patch(0, 0, 0, 0, 1, 1, "gAA="), "one bit"),
        (Patch(0, 0, 0, 0, 1, 1, "?"), "base64"),
    ],
)
def test_patches_that_do_not_fit_change_nothing(tmp_path: Path, patch: Patch, words: str) -> None:
    session = opened(tmp_path / "journal")
    length = (tmp_path / "journal").stat().st_size
    with pytest.raises(Refused, match=words):
        session.edit("bladder", "brush", [patch])
    with pytest.raises(Refused, match="no such structure"):
        session.edit("spleen", "brush", [])
    assert (tmp_path / "journal").stat().st_size == length
    assert not session.is_edited("bladder")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_patches_between_masks_turn_one_into_the_other(axis: int) -> None:
    random = np.random.default_rng(axis)
    before, after = random.random((2, *SHAPE)) < 0.3
    after[2:4] = before[2:4]
    for patch in patches_between(before.copy(), after, axis):
        part = patch.part(before)
        part ^= patch.changed()
    assert np.array_equal(before, after)


@pytest.mark.parametrize("direction", [(-1, 0, 0, 0, 1, 0, 0, 0, -1), (0, 0, 1, 1, 0, 0, 0, 1, 0)])
def test_patches_are_in_display_orientation(tmp_path: Path, direction: tuple[int, ...]) -> None:
    """A voxel near the patient's head, left and back has the highest indices, in any scan."""
    geometry = Geometry(SHAPE, (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(map(float, direction)))
    session = opened(tmp_path / "journal", geometry)
    last = tuple(n - 1 for n in session.shape)
    changed = np.zeros(session.shape[1:], bool)
    changed[last[1:]] = True
    session.edit("bladder", "brush", [Patch.of(changed, 0, last[0])])
    (voxel,) = np.argwhere(session.masks["bladder"] != session.automatic["bladder"])
    corners = geometry.to_world([[i, j, k] for i in (0, 5) for j in (0, 8) for k in (0, 7)])
    assert geometry.to_world(voxel) == pytest.approx(corners.max(axis=0))
    assert session.slice_axis == reorientation_to_lps(geometry).order.index(0)


def test_display_spacing_follows_the_axes(tmp_path: Path) -> None:
    geometry = Geometry(SHAPE, (3.0, 2.0, 1.0), direction=(0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    session = opened(tmp_path / "journal", geometry)
    assert session.display_spacing == reorientation_to_lps(geometry).geometry(geometry).spacing
    assert all(a != b for a, b in pairwise(session.display_spacing))
