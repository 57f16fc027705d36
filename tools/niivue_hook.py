"""Build hook that copies NiiVue into the review page, and thereby into the wheel and the source package.

``npm ci`` fetches NiiVue into ``node_modules``; ``package.json`` names its version. It isn't part of this repository.
``licenses/niivue.txt`` has the licences of what its file contains; every package carries them. If NiiVue is absent, the
package is built without it, and the review page draws scans on a 2D canvas.
"""

import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NIIVUE = Path("node_modules", "@niivue", "niivue", "dist", "niivue.umd.js")
TARGET = Path("src", "gynbtnet", "review", "page", "npm")
ABSENT = (
    "NiiVue is absent, so that the review page of this package draws scans on a 2D canvas. Run `npm ci` before the "
    "build to include it."
)


class NiivueHook(BuildHookInterface[Any]):
    """Copies NiiVue before a wheel or a source package is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Copy the file; see the base class."""
        root = Path(self.root)
        if (root / NIIVUE).is_file():
            target = root / TARGET
            target.mkdir(exist_ok=True)
            shutil.copyfile(root / NIIVUE, target / "niivue.js")
        elif not (root / TARGET / "niivue.js").is_file():  # a source package has it
            self.app.display_warning(ABSENT)
