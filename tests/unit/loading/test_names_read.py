"""Which of the names that actions see a rule's action reads is known when the rule is loaded.

"Too much" costs the server a document; "too little" would make a name empty for an action that reads it.
"""

import pytest

from mtrigger.templates import SCOPE_NAMES
from support.rules_folder import RulesFolder

RULE = "on: {{collection: shop.orders}}\ndo:\n  - {action}\n"
MAIL = "to: a@example.com, subject: s"

TEMPLATES = {
    "plain.txt.j2": "{{ document.a }}",
    "base.html.j2": "{% block main %}{{ rule.name }}{% endblock %}",
    "child.html.j2": "{% extends 'base.html.j2' %}{% block main %}{{ before.a }}{% endblock %}",
    "includes.txt.j2": "{{ event.id }}{% include 'child.html.j2' %}",
    "imports.txt.j2": "{% from 'macros.j2' import shown %}{{ shown(document.a) }}",
    "macros.j2": "{% macro shown(value) %}{{ value }} {{ changed }}{% endmacro %}",
    "chosen.txt.j2": "{% include document.kind %}",
    "optional.txt.j2": "{% include 'nowhere.txt' ignore missing %}",
    "mail.html.j2": "{{ document.a }}",
    "mail.txt.j2": "{{ before.a }}",
}


@pytest.mark.parametrize(
    ("action", "names"),
    [
        ("log: a line", set()),
        ("log: '{{ document.a }} of {{event.time}}'", {"document", "event"}),
        ("log: '{{ document.before }} before'", {"document"}),
        ("log: '{{ before.a | default(0) }}'", {"before"}),
        ("log: '{% for name in changed %}{{ name }}{% endfor %}'", {"changed"}),
        ("log: '{# before #}{{ document.a }}'", {"document"}),
        ("log: '{% include \"includes.txt.j2\" %}'", {"event", "before", "rule"}),
        ("webhook: {url: http://a}", SCOPE_NAMES),
        ("webhook: {url: http://a, body: null}", set()),
        ("webhook: {url: 'http://a/{{ rule.name }}', body: x}", {"rule"}),
        ("webhook: {url: http://a, headers: {x-was: '{{ before.a }}'}, body: 1}", {"before"}),
        ("webhook: {url: http://a, body: {a: [{b: '{{ changed }}'}], '{{ before }}': 1}}", {"changed"}),
        ("function: support.user_functions:by_position", {"document", "event"}),
        ("function: support.user_functions:by_name", {"document", "event", "delivery"}),
        ("function: support.user_functions:everything", SCOPE_NAMES),
        ("function: support.user_functions:nothing", set()),
        (f"email: {{{MAIL}, text: x}}", set()),
        (f"email: {{{MAIL}, html: '{{{{ before.a }}}}'}}", {"before"}),
        (f"email: {{{MAIL}, text: x, cc: '{{{{ document }}}}', bcc: '{{{{ now }}}}'}}", {"document", "now"}),
        (f"email: {{{MAIL}, template: plain.txt.j2}}", {"document"}),
        (f"email: {{{MAIL}, template: child.html.j2}}", {"before", "rule"}),
        (f"email: {{{MAIL}, template: imports.txt.j2}}", {"document", "changed"}),
        (f"email: {{{MAIL}, template: mail.html.j2}}", {"document", "before"}),
        (f"email: {{{MAIL}, template: mail.html.j2, text: x}}", {"document"}),
        (f"email: {{{MAIL}, text: x, attachments: [{{name: a, content: '{{{{ before }}}}'}}]}}", {"before"}),
        (f"email: {{{MAIL}, text: x, attachments: [{{name: a, template: mail.txt.j2}}]}}", {"before"}),
    ],
)  # fmt: skip
def test_what_an_action_reads_is_known(folder: RulesFolder, action: str, names: set[str]) -> None:
    """In texts, in templates and those they use, by a signature; a mail's text beside its HTML, too."""
    assert _read(folder, action) == frozenset(names)


@pytest.mark.parametrize("template", ["chosen.txt.j2", "optional.txt.j2"])
def test_what_cannot_be_told_is_not_guessed(folder: RulesFolder, template: str) -> None:
    """A template whose name is not fixed, or that may appear one day, may read anything."""
    assert _read(folder, f"email: {{{MAIL}, template: {template}}}") is None


def _read(folder: RulesFolder, action: str) -> frozenset[str] | None:
    templates = folder.directory / "templates"
    templates.mkdir()
    for name, text in TEMPLATES.items():
        (templates / name).write_text(text)
    (entry,) = folder.rule(RULE.format(action=action)).actions
    return entry.reads
