"""Ablation of stages 1 and 2: what is pretraining worth if few patients are contoured?

The task is trained from scratch, after stage 1, after stage 2 and after both, with the XS network on one thread. All
arms have the same patients, seeds and settings, and budgets in CPU seconds that the learning rate follows. Further
arms change one setting of stage 1 or of the task. Settings are chosen on validation patients. The scans are synthetic,
and real ones with a folder of data:

    python benchmarks/pretraining_helps.py [../shared/data] [--out FOLDER] [--minutes 30] [--seeds 3]
        [--stage 150] [--task 60] [--unit cpu_seconds] [--blocks main control task stage-1 labels curves]
        [--confirm ARM …]

Each run has a folder. The program stops after the run that exceeds --minutes, and may be killed at any time. It
resumes when it is started again with the same --out. All scores are in results.csv; the Markdown report is printed and
saved with its figure in --out.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from pretraining_ablation.arms import BLOCKS, Design, Run
from pretraining_ablation.results import draw_curves, progress, report
from pretraining_ablation.runs import Trainer, read_rows, write_rows
from pretraining_ablation.scans import Sizes, phantom, sarcomas

SARCOMAS = Sizes(pool=12, validation=5, test=9)
"""26 patients; the other numbers are those of the archives."""


def run_blocks(trainers: Sequence[Trainer], blocks: Sequence[str], design: Design, minutes: float, out: Path) -> None:
    """Complete the runs block by block until the time is used up."""
    start = time.monotonic()
    for block in blocks:
        for trainer in trainers:
            for run in planned_runs(trainer, block, design):
                if trainer.is_complete(run):
                    continue
                if time.monotonic() - start > 60 * minutes:
                    return
                trainer.complete(run)
                write_rows(read_rows(out), out / "results.csv")


def planned_runs(trainer: Trainer, block: str, design: Design) -> list[Run]:
    """Return the runs of a block, without numbers of contoured patients that a cohort doesn't have."""
    pool = len(trainer.scans.pool.patients)
    return [run for run in BLOCKS[block](design) if run.contoured is None or run.contoured < pool]


def write_report(trainers: Sequence[Trainer], design: Design, unit: str, out: Path) -> str:
    """Write and return the report of all runs so far."""
    rows = read_rows(out)
    lines = []
    for trainer in trainers:
        planned = {block: planned_runs(trainer, block, design) for block in BLOCKS}
        done = {block: [run for run in runs if trainer.is_complete(run)] for block, runs in planned.items()}
        lines += report(rows, trainer.scans.name, design, unit)
        lines += [*progress(done, planned), ""]
    draw_curves(rows, [trainer.scans.name for trainer in trainers], design, out / "curves.png")
    text = "\n".join(lines)
    (out / "table.md").write_text(text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder with the real scans: sts, acrin_flt_breast_001, …")
    parser.add_argument("--out", type=Path, default=Path("pretraining_helps"))
    parser.add_argument("--minutes", type=float, default=30, help="stop after the run that exceeds this time")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--stage", type=float, default=150, help="budget of each pretraining")
    parser.add_argument("--task", type=float, default=60, help="budget of the task")
    parser.add_argument("--unit", choices=("cpu_seconds", "steps"), default="cpu_seconds", help="unit of the budgets")
    parser.add_argument("--blocks", nargs="+", choices=tuple(BLOCKS), default=tuple(BLOCKS))
    parser.add_argument("--confirm", nargs="*", default=(), help="variants to score on the test patients too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    out = options.out.absolute()
    design = Design(options.stage, options.task, options.seeds, tuple(options.confirm))
    scans = [phantom(out / "phantom", Sizes())]
    if options.data:
        scans.append(sarcomas(out / "sarcomas", SARCOMAS, options.data.absolute()))
    trainers = [Trainer(cohort, out / cohort.name, options.unit, design.stage) for cohort in scans]
    run_blocks(trainers, options.blocks, design, options.minutes, out)
    print(write_report(trainers, design, options.unit, out))


if __name__ == "__main__":
    main()
