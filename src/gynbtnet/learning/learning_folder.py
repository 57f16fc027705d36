"""Paths inside the folder of a model that learns from corrections, and the pointer to its present champion."""

from dataclasses import dataclass
from pathlib import Path

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, sha256_of, write_json
from gynbtnet.training.run_folder import RunFolder


@dataclass(frozen=True)
class Champion:
    """Pointer to the model that is used: the first model, or the challenger of a round.

    Attributes:
        round: number of the round that trained it; 0 for the first model.
        sha256: SHA-256 of its weights.
    """

    round: int
    sha256: str


@dataclass(frozen=True)
class LearningFolder:
    """The folder of a model that learns from corrections.

    Attributes:
        folder: the folder.
    """

    folder: Path

    @property
    def setup(self) -> Path:
        """First model and its training settings."""
        return self.folder / "learning.json"

    @property
    def assignment(self) -> Path:
        """Group of each patient."""
        return self.folder / "assignment.json"

    @property
    def ledger(self) -> Path:
        """All reviews so far."""
        return self.folder / "reviews.json"

    @property
    def champion(self) -> Path:
        """Pointer to the model that is used."""
        return self.folder / "champion.json"

    @property
    def next_cases(self) -> Path:
        """Cases that were chosen last to contour next."""
        return self.folder / "next_cases.json"

    @property
    def page(self) -> Path:
        """Page on reviews, next cases and rounds, written again by each call."""
        return self.folder / "learning.html"

    @property
    def prepared(self) -> Path:
        """Prepared scans of training and validation."""
        return self.folder / "prepared"

    @property
    def scan_measures(self) -> Path:
        """Measures of the training scans, for the choice of cases."""
        return self.folder / "scan_measures.json"

    def case(self, review: str) -> Path:
        """Return the folder of a reviewed case, by the digest of the review."""
        return self.folder / "reviewed" / review[:16]

    @property
    def frozen_tests(self) -> Path:
        """Folder with the results of all models on the frozen test."""
        return self.folder / "frozen-test"

    def frozen_test(self, digest: str) -> Path:
        """Return the folder with predictions and scores of a model on the frozen test."""
        return self.frozen_tests / digest[:16]

    def round(self, number: int) -> Path:
        """Return the folder of a round."""
        return self.folder / "rounds" / f"round-{number}"

    def inputs(self, number: int) -> Path:
        """Return the file with the inputs of a round, which is written at its beginning."""
        return self.round(number) / "round.json"

    def challenge(self, number: int) -> Path:
        """Return the file with the result of a round, which is written at its end."""
        return self.round(number) / "challenge.json"

    def run(self, number: int) -> Path:
        """Return the run folder of the challenger of a round, which is a model."""
        return self.round(number) / "model"

    def rounds(self) -> list[int]:
        """Return the numbers of the rounds that were begun, in order."""
        names = [path.name.removeprefix("round-") for path in (self.folder / "rounds").glob("round-*")]
        return sorted(int(name) for name in names if name.isdecimal())

    @property
    def champion_round(self) -> int:
        """Number of the round that trained the champion; 0 for the first model."""
        if not self.champion.is_file():
            return 0
        return read_json(Champion, self.champion, "restore it from a backup").round

    def champion_model(self, first: Path) -> Path:
        """Return the folder of the present champion.

        Args:
            first: folder of the first model.

        Raises:
            BadInput: If the pointer is damaged, or the weights aren't those that it names.
        """
        if not self.champion.is_file():
            return first
        champion = read_json(Champion, self.champion, "restore it from a backup")
        model = self.run(champion.round) if champion.round else first
        weights = RunFolder(model).last_weights
        if not weights.is_file() or sha256_of(weights) != champion.sha256:
            raise BadInput(
                f"{self.champion} names other weights than those in {model}; restore the model from a backup."
            )
        return model

    def promote(self, number: int) -> None:
        """Make the challenger of a round the champion; the earlier one is kept."""
        write_json(Champion(number, sha256_of(RunFolder(self.run(number)).last_weights)), self.champion)
