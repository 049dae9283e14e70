"""What is wrong with the texts in an action's settings is found before any event comes."""

import pytest

from mtrigger.actions.template_texts import text_mistakes
from mtrigger.templates import SCOPE_NAMES, Templates


def mistakes(source: str) -> list[tuple[int, str]]:
    return [(found.line, found.message) for found in text_mistakes(source, ("x",), Templates(None))]


@pytest.mark.parametrize(
    "source",
    [
        "",
        "plain } text {",
        *(f"{{{{ {name}.a }}}}" for name in sorted(SCOPE_NAMES)),
        "{{document.in.not.class}} and {{ now }}",
        "{{ document.a | default('x') }}{# a comment #}",
        "{% for item in document.items %}{{ item.name }}{% endfor %}",
    ],
)
def test_a_text_that_is_right_has_no_mistakes(source: str) -> None:
    """Those that are not compiled here do compile."""
    assert mistakes(source) == []
    Templates(None).text(source)
    assert list(Templates(None).mistakes(Templates(None).text(source))) == []


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("{{ docment.a }}", 1),
        ("{{ document.a }}\n{{ amount }}", 2),
        ("{{ document.a", 1),
        ("{{{ document.a }}", 1),
        ("{{ document.a }}\n{% if %}", 2),
        ("{{ document.a | nofilter }}", 1),
        ("{{ document..a }}", 1),
        ("{# never closed {{ document.a }}", 1),
        ("{{ {{ document.a }} }}", 1),
    ],
)
def test_a_mistake_has_its_line(source: str, line: int) -> None:
    """Names that do not exist and code that does not compile, also beside what is right."""
    assert [found for found, _ in mistakes(source)] == [line]
