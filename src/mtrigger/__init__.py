"""mtrigger: declarative triggers on MongoDB change streams, without Kafka.

What a user's own function needs is importable from here:

    from mtrigger import PermanentError, RetryLater
"""

from mtrigger.errors import PermanentError, RetryLater

__version__ = "0.1.0"

__all__ = ["PermanentError", "RetryLater", "__version__"]
