"""What `watch --dry-run` runs instead of an action: it says what would have been done."""

from collections.abc import Callable

from mtrigger.actions.base import Action, Preview, Work


class Rehearsal:
    """Wraps an action: `run` renders everything, sends nothing, and gives the preview to `show`."""

    def __init__(self, action: Action, show: Callable[[Work, Preview], None]) -> None:
        self._action = action
        self._show = show

    async def run(self, work: Work) -> str:
        """Show what would be done; fails where the action would fail before it reaches anything outside."""
        preview = self._action.preview(work)
        self._show(work, preview)
        return f"dry run: {preview.summary}"

    def preview(self, work: Work) -> Preview:
        """What the action itself says."""
        return self._action.preview(work)
