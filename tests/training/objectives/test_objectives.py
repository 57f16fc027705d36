from dataclasses import replace

import numpy as np
import pytest
import torch

from gynbtnet.networks import GynBTNet, Preset
from gynbtnet.sparse import ActiveBlocks, MaskedAutoencoder
from gynbtnet.training.data.batches import Batch
from gynbtnet.training.objectives.masked_modelling_objective import MaskedModellingObjective
from gynbtnet.training.objectives.segmentation_objective import SegmentationObjective

SMALL = Preset((16, 16, 16), depth=1, strides=(1, 2, 2))


def waves() -> Batch:
    z, y, x = torch.meshgrid(*(torch.arange(16.0) for _ in range(3)), indexing="ij")
    image = torch.sin(z / 5) + torch.cos(y / 4) * torch.sin(x / 6)
    return Batch(image=torch.stack([image, -image])[:, None], seeds=torch.tensor([4, 5]))


def masked_modelling(normalise_target: bool = False) -> MaskedModellingObjective:
    torch.manual_seed(0)
    return MaskedModellingObjective(MaskedAutoencoder(SMALL), mask_ratio=0.6, normalise_target=normalise_target)


@pytest.mark.slow
@pytest.mark.parametrize("normalise_target", [False, True])
def test_masked_modelling_learns_what_it_can_not_see(normalise_target: bool) -> None:
    objective, batch = masked_modelling(normalise_target), waves()
    optimizer = torch.optim.AdamW(objective.network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = objective.loss(objective.network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_epsilon_in_hu_follows_each_scans_unit_and_leaves_other_channels_to_spark() -> None:
    network = MaskedAutoencoder(SMALL, 2)
    ours = MaskedModellingObjective(network, 0.6, True, epsilon_hu=20.0, ct=(True, False))
    batch = Batch(image=torch.zeros(2, 2, 16, 16, 16), seeds=torch.tensor([1, 2]))
    batch["units"] = torch.tensor([[500.0, 3.0], [200.0, 7.0]])
    expected = torch.tensor([[(20 / 500) ** 2, 1e-6], [(20 / 200) ** 2, 1e-6]])
    torch.testing.assert_close(ours._epsilon(batch), expected)
    assert MaskedModellingObjective(network, 0.6, True)._epsilon(batch) == 1e-6


def test_the_loss_and_the_picture_use_it() -> None:
    network, batch = FixedReconstruction(SMALL), Batch(image=waves()["image"][:1], seeds=torch.tensor([4]))
    batch["units"] = torch.tensor([[30.0]])
    network.answer = torch.zeros_like(batch["image"])
    sparks, ours = (MaskedModellingObjective(network, 0.6, True, epsilon_hu=hu) for hu in (None, 20.0))
    assert ours.loss(network, batch).item() < 0.7 * sparks.loss(network, batch).item()
    network.answer = torch.ones_like(batch["image"])
    drawn = [objective._planes(batch)[2] for objective in (sparks, ours)]
    assert (drawn[1] - drawn[0]).max() > 0.3  # a one stands for a larger deviation


def test_a_patch_s_mask_follows_its_seed_alone() -> None:
    objective, batch = masked_modelling(), waves()
    whole = objective._active(batch).mask
    second = objective._active(Batch(image=batch["image"][1:], seeds=batch["seeds"][1:])).mask
    assert torch.equal(whole[1:], second)
    assert not torch.equal(whole[:1], second)
    assert (~whole).flatten(1).sum(1).tolist() == [round(0.6 * 64)] * 2


def test_the_validation_score_is_the_negative_loss() -> None:
    objective, batch = masked_modelling(), waves()
    with torch.no_grad():
        scores = objective.validate([batch, batch])
        expected = objective.loss(objective.network, batch).item()
    assert scores == {"validation_loss": pytest.approx(expected)}
    assert objective.score(scores) == -scores["validation_loss"]


class FixedReconstruction(MaskedAutoencoder):
    """Network that reconstructs ``answer`` for any input."""

    answer: torch.Tensor

    def forward(self, image: torch.Tensor, active: ActiveBlocks | torch.Tensor) -> torch.Tensor:
        return self.answer


@pytest.mark.parametrize("normalise_target", [False, True])
def test_the_picture_shows_the_scan_in_visible_cells_and_the_answer_in_hidden_ones(normalise_target: bool) -> None:
    network, batch = FixedReconstruction(SMALL), Batch(image=waves()["image"][:1], seeds=torch.tensor([4]))
    objective = MaskedModellingObjective(network, mask_ratio=0.6, normalise_target=normalise_target)
    network.answer = torch.zeros_like(batch["image"])
    axes = objective.picture([batch]).axes
    assert ("true mean" in axes[2].get_title()) == normalise_target
    scan, seen, reconstructed = (np.ma.filled(axis.images[0].get_array(), np.nan) for axis in axes)
    image = batch["image"][0, 0].numpy()
    assert np.array_equal(scan, image[8])
    mask = objective._active(batch).mask[0].numpy()
    visible = mask.repeat(4, 0).repeat(4, 1).repeat(4, 2)[8]
    assert np.array_equal(seen, np.where(visible, scan, np.nan), equal_nan=True)
    means = image.reshape(4, 4, 4, 4, 4, 4).mean((1, 3, 5))[2].repeat(4, 0).repeat(4, 1)
    assert np.allclose(reconstructed, np.where(visible, scan, means if normalise_target else 0), atol=1e-6)


class ImageAsLabels(GynBTNet):
    """Network that predicts the image's value as the label of every voxel."""

    def __init__(self) -> None:
        super().__init__(SMALL, outputs=4)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [torch.nn.functional.one_hot(image[:, 0].long(), 4).movedim(-1, 1).float()]


def test_dice_is_counted_over_all_patches() -> None:
    random = np.random.default_rng(2)
    truth, predicted = random.integers(0, 3, (2, 5, 4, 4, 4))  # no voxel is truly 3, and none is called 3
    truth[truth == 2] = 0  # the second structure is predicted, and isn't there
    patches = [
        Batch(image=torch.from_numpy(p)[None, None].float(), labels=torch.from_numpy(t)[None].to(torch.uint8))
        for t, p in zip(truth, predicted, strict=True)
    ]
    objective = SegmentationObjective(ImageAsLabels(), ("first", "second", "third"), batch_dice=False)
    scores = objective.validate(patches)
    expected = 2 * ((truth == 1) & (predicted == 1)).sum() / ((truth == 1).sum() + (predicted == 1).sum())
    assert scores["dice_first"] == pytest.approx(expected)
    assert scores["dice_second"] == 0
    assert np.isnan(scores["dice_third"])
    assert scores["dice_mean"] == pytest.approx(expected / 2)
    assert objective.score(scores) == scores["dice_mean"]


def test_nothing_to_score_is_no_number() -> None:
    empty = Batch(image=torch.zeros(1, 1, 4, 4, 4), labels=torch.zeros(1, 4, 4, 4, dtype=torch.uint8))
    objective = SegmentationObjective(ImageAsLabels(), ("first", "second", "third"), batch_dice=False)
    assert np.isnan(objective.score(objective.validate([empty])))


def test_without_deep_supervision_the_finest_level_is_all() -> None:
    torch.manual_seed(0)
    network = GynBTNet(SMALL, outputs=2, deep_supervision=True)
    objective = SegmentationObjective(network, ("wave",), batch_dice=False)
    batch = waves()
    batch["labels"] = (batch["image"][:, 0] > 0).to(torch.uint8)
    deep = objective.loss(network, batch)
    network.deep_supervision = False
    plain = replace(objective, batch_dice=True).loss(network, batch)
    assert deep.item() > 0
    assert plain.item() > 0
    deep.backward()
    assert network.decoder.heads[0].weight.grad is not None
    network.zero_grad(set_to_none=True)
    plain.backward()
    assert network.decoder.heads[0].weight.grad is None


def test_a_structure_that_a_scan_leaves_out_is_not_scored_there() -> None:
    truth = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1]], dtype=torch.uint8).reshape(2, 1, 1, 1, 4)
    said = torch.tensor([[1, 0, 2, 0], [2, 2, 0, 1]]).reshape(2, 1, 1, 1, 4).float()
    patches = [Batch(image=image[:, None], labels=labels) for image, labels in zip(said, truth, strict=True)]
    patches[1]["missing"] = torch.tensor([[False, True, False]])
    scores = SegmentationObjective(ImageAsLabels(), ("first", "second", "third"), batch_dice=False).validate(patches)
    assert scores["dice_first"] == pytest.approx(2 * 2 / (3 + 2))
    assert scores["dice_second"] == 0  # said once where the scan contours it
    patches[0]["missing"] = patches[1]["missing"]
    assert np.isnan(
        SegmentationObjective(ImageAsLabels(), ("first", "second", "third"), batch_dice=False).validate(patches)[
            "dice_second"
        ]
    )
