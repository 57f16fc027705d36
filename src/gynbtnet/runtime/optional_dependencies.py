"""Libraries that only a baseline or a backend needs."""

from importlib.util import find_spec

from gynbtnet.runtime.errors import BadInput


def require(extra: str, *libraries: str) -> None:
    """Check that ``libraries`` of the extra ``gynbtnet[extra]`` are installed, without importing them.

    Args:
        extra: name of the extra of this package that contains the libraries.
        *libraries: names of the modules to import.

    Raises:
        BadInput: If one isn't.
    """
    missing = [library for library in libraries if find_spec(library) is None]
    if missing:
        raise BadInput(
            f"This needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed; "
            f"install what it needs with `pip install gynbtnet[{extra}]`."
        )
