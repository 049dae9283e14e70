"""What a template's syntax alone tells: what it uses, which names it needs, whether it is a single value."""

import re
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet

from jinja2 import Environment, meta, nodes

_ONE_EXPRESSION = re.compile(r"\{\{[+-]?(.*?)[+-]?\}\}", re.DOTALL)


_LINE_END = re.compile(r"\r\n|\r|\n")


def is_static(source: str) -> bool:
    """Whether a text holds no template code, so that it is the same for every event."""
    return not any(sign in source for sign in ("{{", "{%", "{#"))


def static_text(source: str) -> str:
    """What Jinja makes of a text without template code: unified line ends, and the last one left out."""
    return _LINE_END.sub("\n", source).removesuffix("\n")


_Use = nodes.Extends | nodes.Include | nodes.Import | nodes.FromImport


def names_read(tree: nodes.Template) -> frozenset[str] | None:
    """The names that a template may read of its scope; None when others it uses read it as well."""
    if any(_uses(tree)):
        return None
    return _names(tree)


def names_read_together(trees: Collection[nodes.Template]) -> frozenset[str] | None:
    """The names that `trees`, which use each other, may read of their scope; None when one of them uses
    another one still, by a name that is not fixed or that need not be there."""
    if any(_fixed_name(use) is None for tree in trees for use in _uses(tree)):
        return None
    return frozenset().union(*map(_names, trees))


def references(tree: nodes.Template) -> Iterator[tuple[str, int]]:
    """(name, line) of the templates that `tree` extends, includes or imports by a fixed name."""
    for use in _uses(tree):
        name = _fixed_name(use)
        if name is not None:
            yield name, use.lineno


def _uses(tree: nodes.Template) -> Iterator[_Use]:
    for node in tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        assert isinstance(node, _Use)
        yield node


def _fixed_name(use: _Use) -> str | None:
    """The template that is used, None where it is not known before or may be missing."""
    name = use.template
    if isinstance(use, nodes.Include) and use.ignore_missing:
        return None
    return name.value if isinstance(name, nodes.Const) and isinstance(name.value, str) else None


def _names(tree: nodes.Template) -> frozenset[str]:
    return frozenset(node.name for node in tree.find_all(nodes.Name))


def foreign_names(
    group: Mapping[str, nodes.Template], given: AbstractSet[str]
) -> Iterator[tuple[str, int, str]]:
    """(file, line, name) of every name that the templates of `group` read and nobody sets.

    Templates that extend and include each other see each other's names, so they are judged together.
    """
    trees = group.values()
    if all(node.name in given for tree in trees for node in tree.find_all(nodes.Name)):
        return  # the usual case, without the closer look
    known = set(given)
    for tree in trees:
        known.update(node.name for node in tree.find_all(nodes.Name) if node.ctx in ("store", "param"))
        known.update(node.name for node in tree.find_all(nodes.Block))
        known.update(node.name for node in tree.find_all(nodes.Macro))
        known.update(node.target for node in tree.find_all(nodes.Import))
        for imports in tree.find_all(nodes.FromImport):
            known.update(name if isinstance(name, str) else name[1] for name in imports.names)
    for file, tree in group.items():
        strange = meta.find_undeclared_variables(tree) - known
        first: dict[str, int] = {}
        for node in tree.find_all(nodes.Name):
            if node.name in strange:
                first.setdefault(node.name, node.lineno)
        for name, line in sorted(first.items(), key=lambda item: item[1]):
            yield file, line, name


def only_expression(environment: Environment, source: str) -> str | None:
    """The expression of a template that is one `{{ … }}` and nothing else, or None."""
    text = source.strip()
    match = _ONE_EXPRESSION.fullmatch(text)
    body = environment.parse(text).body if match else []
    if match is None or len(body) != 1 or not isinstance(body[0], nodes.Output):
        return None
    parts = body[0].nodes
    return match[1] if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData) else None
