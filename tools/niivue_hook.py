"""Build hook that copies NiiVue into the review page, and thereby into the wheel and the source package.

``npm ci`` fetches NiiVue into ``node_modules``; ``package.json`` names its version. It isn't part of this repository.
If it is absent, the package is built without it, and the review page draws scans on a 2D canvas.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULES = Path("node_modules")
NIIVUE = MODULES / "@niivue" / "niivue" / "dist" / "niivue.umd.js"
LICENSE = Path("licenses", "niivue.txt")
TARGET = Path("src", "gynbtnet", "review", "page", "npm")
ABSENT = (
    "NiiVue is absent, so that the review page of this package draws scans on a 2D canvas. Run `npm ci` before the "
    "build to include it."
)


class NiivueHook(BuildHookInterface[Any]):
    """Copies NiiVue and the licences of what is in its file before a wheel or a source package is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Copy the files; see the base class."""
        root = Path(self.root)
        if (root / NIIVUE).is_file():
            target = root / TARGET
            target.mkdir(exist_ok=True)
            shutil.copyfile(root / NIIVUE, target / "niivue.js")
            (target / "LICENSES.txt").write_text("".join(licenses(root)), encoding="utf-8")
        elif not (root / TARGET / "niivue.js").is_file():  # a source package has it
            self.app.display_warning(ABSENT)


def licenses(root: Path) -> Iterator[str]:
    """Yield the licence of NiiVue, then those of the packages that are part of its file."""
    yield f"niivue.js is NiiVue with the packages that it needs.\n\n@niivue/niivue\n\n{(root / LICENSE).read_text()}"
    modules = root / MODULES
    for manifest in sorted([*modules.glob("*/package.json"), *modules.glob("@*/*/package.json")]):
        for text in sorted(manifest.parent.glob("[lL][iI][cC][eE][nN][sScC][eE]*")):
            name = manifest.parent.relative_to(modules).as_posix()
            yield f"\n{'-' * 80}\n{name}\n\n{text.read_text(encoding='utf-8').strip()}\n"
