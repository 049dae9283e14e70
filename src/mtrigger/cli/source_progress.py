"""A progress bar for each table that is read for the first time, on a terminal."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mtrigger.sources.progress import Step


class ProgressBars:
    """Bars on standard error, from `with` to its end."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def told(self, step: Step) -> None:
        """Move the bar of the table; it is full when nothing is left."""
        table = (step.source, step.table)
        if table not in self._tasks:
            self._tasks[table] = self._bars.add_task(step.table, total=step.expected, rate="")
        total = step.rows if step.last else max(step.expected or 0, step.rows) or None
        bar = self._tasks[table]
        self._bars.update(bar, completed=step.rows, total=total)
        task = next(task for task in self._bars.tasks if task.id == bar)
        speed = step.rows / task.elapsed if task.elapsed else 0.0
        self._bars.update(bar, rate=f"{speed:,.0f} rows/s" if speed else "")
