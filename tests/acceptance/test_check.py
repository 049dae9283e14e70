"""The installed command before any database: help, check, schema and init."""

import json
from pathlib import Path

from support.command import MtriggerCommand
from support.rules_folder import SMALLEST


def write(folder: Path, **files: str) -> Path:
    """Rule files by their names without suffix."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_check_lists_the_rules_when_nothing_is_wrong(
    mtrigger_command: MtriggerCommand, tmp_path: Path
) -> None:
    """The list on standard output, the summary on standard error."""
    write(
        tmp_path / "triggers",
        a=SMALLEST,
        b="on: {collection: [x.*, y.z], operations: delete}\nenabled: false\ndo: {log: x}\n",
    )
    done = mtrigger_command.run("check")
    assert (done.code, done.stderr) == (0, "2 rules in 2 files: no mistakes\n")
    assert done.stdout == (
        "a  shop.orders  insert, update, replace  log\n"
        "b  x.*, y.z     delete                   log  (not enabled)\n"
    )


def test_check_prints_every_mistake_of_every_file_and_exits_with_1(
    mtrigger_command: MtriggerCommand, tmp_path: Path
) -> None:
    """As file:line:column: message, with the path one can open from here."""
    write(
        tmp_path / "triggers",
        a="on: {collection: orders}\nwhen: amount >\ndo: {log: '{{ documnt }}'}\n",
        b=SMALLEST + "whn: amount > 1\n",
    )
    done = mtrigger_command.run("check")
    assert done.code == 1
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [
        "triggers/a.yaml:1:18",
        "triggers/a.yaml:2:15",
        "triggers/a.yaml:3:12",
        "triggers/b.yaml:3:1",
    ]
    assert "did you mean `when`?" in done.stdout
    assert done.stderr == "4 mistakes in 2 files\n"


def test_check_prints_one_json_document(mtrigger_command: MtriggerCommand, tmp_path: Path) -> None:
    """For programs: rules or mistakes."""
    folder = write(tmp_path / "rules", a=SMALLEST)
    (rule,) = json.loads(mtrigger_command.run("check", "--rules", str(folder), "--json").stdout)["rules"]
    assert (rule["name"], rule["operations"]) == ("a", ["insert", "update", "replace"])
    write(folder, b="x: 1\n")
    done = mtrigger_command.run("check", "--json", env={"MTRIGGER_RULES": str(folder)})
    assert done.code == 1
    mistakes = json.loads(done.stdout)["mistakes"]
    assert {"file": f"{folder}/b.yaml", "line": 1, "column": 1, "message": "`on` is missing"} in mistakes


def test_check_finds_functions_beside_the_rules(mtrigger_command: MtriggerCommand, tmp_path: Path) -> None:
    """In the current directory and in the folder that holds the rules folder."""
    folder = write(tmp_path / "project", x="")
    (folder / "x.yaml").unlink()
    write(folder / "triggers", a="on: {collection: a.b}\ndo: {function: 'beside:notify'}\n")
    (folder / "beside.py").write_text("def notify(document, event): ...\n")
    assert mtrigger_command.run("check", "--rules", "project/triggers").code == 0
    (folder / "beside.py").write_text("def notfy(document, event): ...\n")
    done = mtrigger_command.run("check", "--rules", "project/triggers")
    assert done.code == 1
    assert "did you mean `notfy`?" in done.stdout


def test_rules_that_are_not_there_are_one_sentence(mtrigger_command: MtriggerCommand) -> None:
    """With the way out, and the exit code of wrong settings."""
    done = mtrigger_command.run("check")
    assert (done.code, done.stdout) == (64, "")
    assert (
        done.stderr
        == "mtrigger: there are no rules at triggers; pass --rules, or begin with `mtrigger init`\n"
    )


def test_check_loads_no_driver_and_no_http_client(tmp_path: Path, mtrigger_command: MtriggerCommand) -> None:
    """They take longer to import than everything else together."""
    write(
        tmp_path / "triggers",
        a=SMALLEST + "when: amount > 1\n",
        b="on: {collection: a.b}\ndo: {webhook: {url: 'http://a'}}\n",
    )
    (tmp_path / "look.py").write_text(
        "import sys\ndef look(document): ...\n"
        "print('LOADED', sorted({'pymongo', 'aiohttp'} & set(sys.modules)))\n"
    )
    write(tmp_path / "triggers", z="on: {collection: a.b}\ndo: {function: 'look:look'}\n")
    running = mtrigger_command.start("check")  # a new interpreter, which has loaded nothing yet
    assert running.wait() == 0
    assert "LOADED []" in running.stdout


def test_what_init_writes_passes_check_and_is_never_overwritten(
    mtrigger_command: MtriggerCommand, tmp_path: Path
) -> None:
    """A starting point, whatever one has made of it."""
    done = mtrigger_command.run("init", "project")
    assert done.code == 0, done.stderr
    assert "mtrigger check --rules project/triggers" in done.stderr
    assert mtrigger_command.run("check", "--rules", "project/triggers").code == 0
    rule = tmp_path / "project" / "triggers" / "big-order.yaml"
    rule.write_text("mine")
    again = mtrigger_command.run("init", "project")
    assert (again.code, rule.read_text()) == (0, "mine")
    assert again.stdout.count("kept") == 3


def test_schema_is_one_json_document(mtrigger_command: MtriggerCommand) -> None:
    """The same as `init` writes."""
    done = mtrigger_command.run("schema")
    assert done.code == 0
    assert json.loads(done.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_help_names_every_command(mtrigger_command: MtriggerCommand) -> None:
    """With a line for each."""
    done = mtrigger_command.run("--help")
    assert done.code == 0
    for command in (
        "watch",
        "check",
        "test",
        "explain",
        "status",
        "deliveries",
        "checkpoint",
        "schema",
        "init",
        "demo",
        "mailbox",
    ):
        assert f"  {command} " in done.stdout


def test_a_command_that_does_not_exist_is_a_usage_error(mtrigger_command: MtriggerCommand) -> None:
    """With the one that was probably meant."""
    done = mtrigger_command.run("chekc")
    assert done.code == 2
    assert "No such command 'chekc'. Did you mean 'check'?" in done.stderr
    assert mtrigger_command.run("check", "--no-such-option").code == 2


def test_an_unexpected_failure_is_one_line_without_a_traceback(
    mtrigger_command: MtriggerCommand, tmp_path: Path
) -> None:
    """The traceback is there on request."""
    (tmp_path / "triggers").mkdir()
    (tmp_path / "triggers" / "a.yaml").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "yaml.py").write_text("raise OSError('no yaml today')\n")
    environ = {"PYTHONPATH": str(tmp_path / "broken")}
    done = mtrigger_command.run("check", env=environ)
    assert done.code == 1
    assert done.stderr == "mtrigger: OSError: no yaml today (run with MTRIGGER_TRACEBACK=1 for details)\n"
    done = mtrigger_command.run("check", env={**environ, "MTRIGGER_TRACEBACK": "1"})
    assert "Traceback (most recent call last)" in done.stderr


def test_the_version_is_printed(mtrigger_command: MtriggerCommand) -> None:
    """`--version` needs nothing."""
    done = mtrigger_command.run("--version")
    assert (done.code, done.stdout.split()[0]) == (0, "mtrigger")
