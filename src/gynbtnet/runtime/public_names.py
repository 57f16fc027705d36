"""Public names of a package, each imported when it is first used, so that ``gynbtnet --help`` stays fast."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package that imports its public names on first use.

    A public name must differ from the package's modules: Python sets an imported module as an attribute of its package.

    Args:
        package: ``__name__`` of the package.
        modules: public names by the module, relative to the package, that defines them.

    Returns:
        Functions to assign to ``__getattr__`` and ``__dir__`` in the package's ``__init__.py``.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def get_attribute(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    def list_names() -> list[str]:
        return sorted(homes)

    return get_attribute, list_names
