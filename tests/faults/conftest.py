"""The shop of the acceptance tests, for the faults too; and one whose history is soon forgotten."""

from acceptance.conftest import shop
from faults.oplogs import tiny

__all__ = ["shop", "tiny"]
