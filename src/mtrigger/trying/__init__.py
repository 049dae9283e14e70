"""Trying rules before they run: examples, judgements with their reasons, previews, the past.

Nothing here sends anything.
"""
