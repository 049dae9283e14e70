"""Reading template files: those of one folder, and nothing outside of it."""

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, TemplateNotFound


class ConfinedLoader(FileSystemLoader):
    """Files of one folder. Links may point anywhere within it (as Kubernetes mounts do) but not out of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._root = folder.resolve()

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """The file's text, and its name within the folder: errors speak of the name, not of the path."""
        contents, filename, uptodate = super().get_source(environment, template)
        if not Path(filename).resolve().is_relative_to(self._root):
            raise TemplateNotFound(template)
        return contents, template, uptodate
