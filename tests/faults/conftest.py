"""The shop of the acceptance tests, for the faults too."""

from acceptance.conftest import shop

__all__ = ["shop"]
