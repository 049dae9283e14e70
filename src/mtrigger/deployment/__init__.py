"""The MongoDB deployment that is watched: connecting, what it can do, and what it keeps."""
