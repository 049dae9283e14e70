"""Rule files to rules: every mistake of every file at once, each with its file, line and column."""

from mtrigger.loading.loader import RuleSet, default_templates, load

__all__ = ["RuleSet", "default_templates", "load"]
