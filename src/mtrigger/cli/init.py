"""`mtrigger init`: a first rule with its template and schema, to be changed. Never overwrites a file."""

from importlib.resources import files
from pathlib import Path

import click

from mtrigger.cli.schema import FILE, as_text
from mtrigger.errors import SettingsError
from mtrigger.loading.schema import rule_file_schema


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(directory: Path) -> None:
    """Write a first rule, its template and the schema for editors into DIRECTORY.

    Files that are there already are left as they are.
    """
    write_starting_point(directory)
    where = "" if directory == Path() else f" --rules {directory / 'triggers'}"
    click.echo(
        "\nNext:\n"
        f"  mtrigger check{where}    are all rules right?\n"
        f"  mtrigger test{where}     do they fire when they should?\n"
        f"  mtrigger watch{where}    watch MongoDB (--uri) and mail (MTRIGGER_SMTP_URL)",
        err=True,
    )


def write_starting_point(directory: Path) -> None:
    """Write the files that are not there yet, and say so. Raises SettingsError when one cannot be written."""
    for name, content in _starting_point().items():
        path = directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
        except FileExistsError:
            click.echo(f"kept   {path} (it was there)")
        except OSError as error:
            raise SettingsError(f"{path} cannot be written: {error.strerror}") from error
        else:
            click.echo(f"wrote  {path}")


def _starting_point() -> dict[str, str]:
    """The files by their path within the directory."""
    folder = files("mtrigger.cli") / "starting_point"
    return {
        "triggers/big-order.yaml": (folder / "big-order.yaml").read_text(encoding="utf-8"),
        "templates/big-order.html.j2": (folder / "big-order.html.j2").read_text(encoding="utf-8"),
        FILE: as_text(rule_file_schema()),
    }
