"""List the installed version of every library that gynbtnet and its extras require, one per line.

    python tools/tested_versions.py > constraints-tested.txt

Run it in the environment in which the tests passed, see `make install-dev`.
"""

from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("train", "review", "node")
"""Extras whose libraries are listed; the others are for other programs, or for a certain machine."""
HEADER = (
    "Versions with which the tests passed on Python 3.11, of everything that gynbtnet[train,review,node] installs.",
    "pip install --constraint constraints-tested.txt 'gynbtnet[train]'",
    "Made by tools/tested_versions.py. torch may be any build of this version, for a CPU or a GPU.",
)


def required_versions(name: str, extras: tuple[str, ...]) -> dict[str, str]:
    """Return the version of each installed library that a package requires, directly or through others.

    Args:
        name: name of the package, which is installed.
        extras: its extras.

    Returns:
        The versions without build (``2.13.0``, not ``2.13.0+cpu``), by normalised name, in alphabetical order. The
        package itself isn't among them.

    Raises:
        PackageNotFoundError: If the package is not installed, or a library that it requires.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = list(_requirements(distribution(name), extras))
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name)
        wanted = {extra for extra in ("", *requirement.extras) if (key, extra) not in seen}
        if not wanted or key == canonicalize_name(name):
            continue
        seen |= {(key, extra) for extra in wanted}
        library = distribution(requirement.name)
        found[key] = library.version.partition("+")[0]
        waiting += _requirements(library, tuple(wanted))
    return dict(sorted(found.items()))


def _requirements(library: Distribution, extras: tuple[str, ...]) -> Iterator[Requirement]:
    """Yield the requirements that apply here; those of an extra of a library itself are included."""
    for text in library.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def main() -> None:
    """Print the list."""
    try:
        versions = required_versions("gynbtnet", EXTRAS)
    except PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is not installed here; `make install-dev` installs it.") from None
    for line in HEADER:
        print(f"# {line}")
    for name, version in versions.items():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
