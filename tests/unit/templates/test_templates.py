"""What templates promise: documents are data, HTML is escaped, missing fields are named, work is bounded."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from mtrigger.errors import PermanentError
from mtrigger.templates import MOST_CHARACTERS, RenderError, TemplateMistake, Templates, is_static

OID = ObjectId("65a1b2c3d4e5f60718293a4b")
DOCUMENT = {
    "_id": OID,
    "amount": Decimal128("15000.50"),
    "items": [{"price": 1.5, "qty": 2}, {"price": Decimal128("2.25"), "qty": 1}],
    "keys": "a field",
    "values": "another",
    "get": "a third",
    "created": datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - dates from BSON may be naive
    "nothing": None,
    "paid": True,
    "name": '<b>"O\'Neil" & Sons</b>',
    "huge": 10**9,
    "price": Decimal128("1E+3"),
    "file": Binary(b"\x00\x01"),
    "session": Binary(bytes(range(16)), 4),
}
SCOPE: dict[str, Any] = {"document": DOCUMENT, "before": None, "event": {"operation": "insert"}}

templates = Templates(None)


def text(source: str, **more: Any) -> str:
    return templates.text(source).render({**SCOPE, **more})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ document.items | length }}", "2"),
        ("{{ document.keys }}, {{ document.values }}, {{ document.get }}", "a field, another, a third"),
        ("{{ document._id }}", str(OID)),
        ("{{ document.amount }}", "15000.50"),
        ("{{ document.price }}", "1000"),
        ("{{ document.created }}", "2026-01-02T03:04:05Z"),
        ("[{{ document.nothing }}]", "[]"),
        ("{{ document.paid }}", "true"),
        ("{{ document.session }}", "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        ("{{ document.file }}", "AAE="),
        ("{{ document['items'][0] }}", '{"price": 1.5, "qty": 2}'),
        ("{{ document | items | list | length }}", str(len(DOCUMENT))),
        ("{{ document.items | map(attribute='price') | join('/') }}", "1.5/2.25"),
        ("{{ changed['a.b'] }}", "7"),
        (
            "{{ document.items is array }} {{ document.name is array }} {{ document.no is array }}",
            "true false false",
        ),
        (
            "{{ document.created is date }} {{ document.name is date }} {{ document.no is date }}",
            "true false false",
        ),
    ],
)
def test_document_values_print_plainly(source: str, expected: str) -> None:
    """A dot reads a field whatever it is called, and every BSON type has a sensible text."""
    assert text(source, changed={"a.b": 7}) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ document.amount * 1.1 }}", "16500.550"),
        ("{{ document.amount + 1 }}", "15001.50"),
        ("{{ 0.5 + document.amount }}", "15001.00"),
        ("{{ document.items | sum('price') }}", "3.75"),
        ("{{ document.amount > 10000 and document.amount < 15000.6 }}", "true"),
        ("{{ document.amount | int }}", "15000"),
        ("{{ [document.amount, 3] | max }}", "15000.50"),
    ],
)
def test_numbers_compute_across_types(source: str, expected: str) -> None:
    """Decimal128 works with whole numbers, doubles and filters."""
    assert text(source) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ document.amout }}", "document has no field 'amout'; did you mean 'amount'?"),
        ("{{ document.customer.name }}", "document has no field 'customer'"),
        ("{{ document.items[0].prise }}", "document.items[0] has no field 'prise'; did you mean 'price'?"),
        ("{{ document.items[9] }}", "there is no element 9 in an array"),
        ("{{ document.items.first }}", "an array has no field 'first'"),
        ("{{ before.amount }}", "null has no field 'amount'"),
        ("{{ amount }}", "there is no 'amount' here; a field of the document is written document.amount"),
        ("{{ documnt.amount }}", "there is no 'documnt' here; did you mean 'document'?"),
        ("{{ document.item() }}", "document has no field 'item'; did you mean 'items'?"),
        ("{% for x in document.nope %}{% endfor %}", "document has no field 'nope'"),
        ("{{ document.nope | money }}", "document has no field 'nope'"),
        ("{{ document.nope | datetime }}", "document has no field 'nope'"),
        ("{{ document.nope | link }}", "document has no field 'nope'"),
        ("{{ 1 | money(document.nope) }}", "document has no field 'nope'"),
        ("{{ document.nope or 1 }}", "document has no field 'nope'"),
        ("{{ event.items() }}", "event has no field 'items'; to go through its fields write `event | items`"),
    ],
)
def test_a_missing_field_is_an_error_that_names_it(source: str, message: str) -> None:
    """Blanks never reach a reader; the error says what is missing and what may be meant. It is permanent."""
    with pytest.raises(RenderError) as caught:
        text(source)
    assert caught.value.message == message
    assert isinstance(caught.value, PermanentError)


def test_missing_fields_can_be_asked_for_at_any_depth() -> None:
    """`is defined` and `default` need no ladder of conditions."""
    assert text("{{ document.a.b.c is defined }} {{ document.a.b.c | default('-') }}") == "false -"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ document.items.__class__ }}",
        "{{ document.items | attr('__class__') }}",
        "{{ [1] | map(attribute='__class__') | list }}",
        "{{ (1).__class__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ document.items.append(1) }}",
        "{{ document.items.clear() }}",
        "{{ document.created.__reduce__() }}",
        "{{ self.__init__ }}",
    ],
)
def test_the_sandbox_holds(source: str) -> None:
    """No way from a value to Python's insides, and nothing a template does changes a value."""
    with pytest.raises(RenderError):
        text(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * document.huge }}",
        "{{ document.huge * 'x' }}",
        "{{ [0] * document.huge }}",
        "{{ 'x'.ljust(document.huge) }}",
        "{{ 'x' | center(document.huge) }}",
        "{{ 'x\ny' | indent(document.huge) }}",
        "{{ [1] | batch(document.huge, 0) | list }}",
        "{{ range(document.huge) | list }}",
        "{{ 2 ** document.huge }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ 1 / 0 }}",
        "{{ document.amount / 0 }}",
        "{{ document.paid.x.y + [] }}",
    ],
)
def test_work_without_end_is_refused(source: str) -> None:
    """A hostile number in a document costs one failed delivery, not the process."""
    with pytest.raises(RenderError):
        text(source)


def test_the_result_is_bounded_and_never_partial() -> None:
    """One character more than allowed, and there is no text at all."""
    source = "{% for _ in range(document.n) %}{{ document.piece }}{% endfor %}"
    piece = "x" * 1024
    fits = {"document": {"n": MOST_CHARACTERS // 1024, "piece": piece}}
    assert len(templates.text(source).render(fits)) == MOST_CHARACTERS
    too_long = {"document": {"n": MOST_CHARACTERS // 1024 + 1, "piece": piece}}
    with pytest.raises(RenderError, match="longer than 1,048,576 characters"):
        templates.text(source).render(too_long)


def test_html_is_escaped_and_text_is_not() -> None:
    """The same value in both kinds of template."""
    escaped = "&lt;b&gt;&#34;O&#39;Neil&#34; &amp; Sons&lt;/b&gt;"
    assert templates.html("{{ document.name }}").render(SCOPE) == escaped
    assert text("{{ document.name }}") == DOCUMENT["name"]
    assert "<b>" not in templates.html("<p title='{{ document | json }}'>").render(SCOPE)


@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.dictionaries(st.text(), inner)))
def test_no_document_can_write_markup(value: Any) -> None:
    """Whatever a field holds, it adds no tag and no quote to the HTML."""
    rendered = templates.html("{{ document.x }}").render({"document": {"x": value}})
    assert not set(rendered) & set("<>\"'")


def test_a_document_is_never_a_template() -> None:
    """Template code inside a value stays text."""
    assert text("{{ document.name }}", document={"name": "{{ 7 * 7 }}"}) == "{{ 7 * 7 }}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ document.amount }}", Decimal128("15000.50")),
        ("  {{- document.amount + 1 -}}  ", Decimal128("15001.50")),
        ("{{ document._id }}", OID),
        ("{{ document.nothing }}", None),
        ("{{ document.items }}", DOCUMENT["items"]),
        ("{{ '}}' }}", "}}"),
        ("n: {{ document.paid }}", "n: true"),
        ("{{ document.paid }}{{ document.paid }}", "truetrue"),
        ("plain", "plain"),
        ("{% if document.paid %}1{% endif %}", "1"),
    ],
)
def test_a_lone_expression_keeps_its_value_and_type(source: str, expected: Any) -> None:
    """`{{ … }}` alone is the value as BSON knows it; anything around it makes text."""
    value = templates.value(source).render(SCOPE)
    assert value == expected
    assert type(value) is type(expected)


def test_a_lone_expression_that_is_missing_is_an_error() -> None:
    """The value of a missing field is not null."""
    with pytest.raises(RenderError, match="document has no field 'nope'"):
        templates.value("{{ document.nope }}").render(SCOPE)


class TestFiles:
    """Templates in files."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        files = {
            "layout.html.j2": "<body>{% block content %}{% endblock %}</body>",
            "order.html.j2": '{% extends "layout.html.j2" %}'
            "{% block content %}{{ document.name }}{% endblock %}",
            "order.txt.j2": "{{ document.name }}",
            "broken.html.j2": "line one\n{% for %}",
            "orphan.html.j2": '\n{% include "layuot.html.j2" %}',
            "deep/inner.html": "{{ document.nope }}",
            "outer.html.j2": 'x\n{% include "deep/inner.html" %}',
            "strange.html.j2": "\n\n{{ docment.name }}{{ amount }}",
            "child.html.j2": '{% extends "frame.html.j2" %}{% set colour = "red" %}',
            "frame.html.j2": "{{ colour }}{% for i in [1] %}{{ i }}{{ loop.index }}{% endfor %}",
            "again.html.j2": '{% include "again.html.j2" %}',
        }
        templates_folder = tmp_path / "templates"
        for name, content in files.items():
            (templates_folder / name).parent.mkdir(parents=True, exist_ok=True)
            (templates_folder / name).write_text(content, encoding="utf-8")
        (tmp_path / "secret.html").write_text("secret", encoding="utf-8")
        return templates_folder

    def test_the_suffix_decides_about_escaping(self, folder: Path) -> None:
        """`.html.j2` is escaped, through inheritance too; `.txt.j2` is not."""
        found = Templates(folder)
        assert "&lt;b&gt;" in found.file("order.html.j2").render(SCOPE)
        assert "<b>" in found.file("order.txt.j2").render(SCOPE)
        assert "&lt;b&gt;" in found.html('{% include "order.html.j2" %}').render(SCOPE)

    @pytest.mark.parametrize(
        ("name", "file", "line", "message"),
        [
            ("broken.html.j2", "broken.html.j2", 2, "Expected an expression"),
            ("orphan.html.j2", "orphan.html.j2", 2, "did you mean 'layout.html.j2'?"),
            ("oder.html.j2", "", 1, "did you mean 'order.html.j2'?"),
            ("../secret.html", "", 1, "is not a file within the templates folder"),
            ("deep", "", 1, "is not a file within the templates folder"),
        ],
    )
    def test_what_cannot_be_used_is_said_at_its_place(
        self, folder: Path, name: str, file: str, line: int, message: str
    ) -> None:
        """A template that does not compile, is not there, includes what is not there, or lies outside."""
        with pytest.raises(TemplateMistake) as caught:
            Templates(folder).file(name)
        assert (caught.value.file, caught.value.line) == (file, line)
        assert message in caught.value.message

    def test_a_link_out_of_the_folder_is_not_followed(self, folder: Path) -> None:
        """A link within the folder is fine, one to the outside is as good as no file."""
        (folder / "inside.html").symlink_to(folder / "layout.html.j2")
        (folder / "outside.html").symlink_to(folder.parent / "secret.html")
        found = Templates(folder)
        assert found.has("inside.html")
        assert not found.has("outside.html")
        assert not found.has("../secret.html")
        with pytest.raises(TemplateMistake):
            found.file("outside.html")

    def test_an_error_says_in_which_file_and_line(self, folder: Path) -> None:
        """The innermost template is named, not the one that included it."""
        with pytest.raises(RenderError) as caught:
            Templates(folder).file("outer.html.j2").render(SCOPE)
        assert str(caught.value) == "deep/inner.html:1: document has no field 'nope'"

    def test_a_template_that_includes_itself_ends(self, folder: Path) -> None:
        """With an error, not with the process."""
        with pytest.raises(RenderError, match="without end"):
            Templates(folder).file("again.html.j2").render(SCOPE)

    def test_names_that_nobody_gives_are_found_without_a_document(self, folder: Path) -> None:
        """A typo in a name is a mistake before the first event; names set by related templates are none."""
        found = Templates(folder)
        mistakes = [(m.file, m.line, m.message) for m in found.mistakes(found.file("strange.html.j2"))]
        assert mistakes == [
            ("strange.html.j2", 3, "there is no 'docment' here; did you mean 'document'?"),
            (
                "strange.html.j2",
                3,
                "there is no 'amount' here; a field of the document is written document.amount",
            ),
        ]
        assert list(found.mistakes(found.file("child.html.j2"))) == []

    def test_without_a_folder_every_file_is_a_mistake(self, tmp_path: Path) -> None:
        """Both without any folder and with one that is not there."""
        with pytest.raises(TemplateMistake, match="no templates folder"):
            Templates(None).file("x.html")
        with pytest.raises(TemplateMistake, match="does not exist"):
            Templates(tmp_path / "nowhere").file("x.html")


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("{{ x", 1, "unexpected end of template"),
        ("one\n{{ a | mony }}", 2, "No filter named 'mony'; did you mean 'money'?"),
        ("{% include 'x.html' %}", 1, "no templates folder"),
    ],
)
def test_inline_text_that_does_not_compile_is_a_mistake(source: str, line: int, message: str) -> None:
    """With the line within the text."""
    with pytest.raises(TemplateMistake) as caught:
        templates.text(source)
    assert caught.value.line == line
    assert message in caught.value.message


def test_the_scope_is_left_as_it_was() -> None:
    """Rendering changes no value it was given."""
    scope = {"document": {"n": Decimal128("1"), "when": datetime(2026, 1, 1, tzinfo=UTC), "list": [1]}}
    templates.text("{{ document.n }}{% set document = 1 %}").render(scope)
    expected = {"n": Decimal128("1"), "when": datetime(2026, 1, 1, tzinfo=UTC), "list": [1]}
    assert scope == {"document": expected}
    assert not isinstance(scope["document"]["n"], Decimal)


@given(st.text(alphabet="a{}%# \r\n\t<&é", max_size=30))
def test_a_text_without_template_code_is_what_jinja_makes_of_it(source: str) -> None:
    """It is not compiled, and nobody can tell."""
    template = Templates(None).html(source) if is_static(source) else None
    assert (
        template is None
        or template.fixed == template.render({}) == Environment().from_string(source).render()
    )


def test_a_template_sees_all_names_that_those_it_uses_read(tmp_path: Path) -> None:
    """Also where it reads none of them itself."""
    (tmp_path / "frame.txt").write_text("{% block body %}{% endblock %} {% include 'foot.txt' %}")
    (tmp_path / "foot.txt").write_text("{{ rule.name }}")
    (tmp_path / "mail.txt").write_text(
        "{% extends 'frame.txt' %}{% block body %}{{ document.a }}{% endblock %}"
    )
    scope = {"document": {"a": 5}, "rule": {"name": "big-order"}, "before": None}
    assert Templates(tmp_path).file("mail.txt").render(scope) == "5 big-order"
