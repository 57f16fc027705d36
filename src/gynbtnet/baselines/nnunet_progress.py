"""Progress of nnU-Net's preparation and prediction, shown as ours: a bar, or lines if there is no terminal."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any

from gynbtnet.runtime.progress import Advance, progress_bar

_MODULES = (
    "nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor",
    "nnunetv2.preprocessing.preprocessors.default_preprocessor",
    "nnunetv2.inference.predict_from_raw_data",
)


class _Bar:
    """The part of tqdm's bar that these modules use: a context, and ``update``."""

    def __init__(self, desc: str | None, total: int, **_: Any) -> None:
        title = f"nnU-Net: {desc.lower()}" if desc else "Predicting"
        self._context: AbstractContextManager[Advance] = progress_bar(title, total)

    def __enter__(self) -> "_Bar":
        self._advance = self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._context.__exit__(*error)

    def update(self) -> None:
        self._advance()


@contextmanager
def nnunet_progress() -> Iterator[None]:
    """Show the progress of nnU-Net's fingerprint, preprocessing and prediction on our console, within a context."""
    modules: list[Any] = [import_module(name) for name in _MODULES]
    bars = [module.tqdm for module in modules]
    for module in modules:
        module.tqdm = _Bar
    try:
        yield
    finally:
        for module, bar in zip(modules, bars, strict=True):
            module.tqdm = bar
