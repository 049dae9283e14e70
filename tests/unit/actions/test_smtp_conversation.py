"""What a mail server says is cut into answers wherever the network cut it; a mail's text cannot end early."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.actions.smtp_conversation import Answer, answers_in, text_on_the_wire

SAID = b"250-first\r\n250-SIZE 10\r\n250 last\r\n354 go on\n421\r\n550 5.1.1 na\xefve\r\n"
MEANT = [
    Answer(250, "first\nSIZE 10\nlast"),
    Answer(354, "go on"),
    Answer(421, ""),
    Answer(550, "5.1.1 na\ufffdve"),
]


@pytest.mark.parametrize("place", range(len(SAID) + 1))
def test_answers_are_the_same_wherever_they_were_cut(place: int) -> None:
    """What is not whole yet is kept for the next bytes."""
    first, left = answers_in(SAID[:place])
    second, nothing = answers_in(left + SAID[place:])
    assert (first + second, nothing) == (MEANT, b"")


@pytest.mark.parametrize("line", [b"\r\n", b"25\r\n", b"2500 x\r\n", b"HTTP/1.1 400\r\n", b"150 x\r\n"])
def test_what_is_no_answer_is_told(line: bytes) -> None:
    """A server of another kind, say."""
    with pytest.raises(ValueError, match="not an answer"):
        answers_in(b"250 fine\r\n" + line)


TEXTS = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"\x00", b"\xff"])).map(b"".join)


@given(TEXTS)
def test_a_text_ends_where_it_ends_and_arrives_line_by_line(message: bytes) -> None:
    """Read as RFC 5321, 4.5.2 has it: lines up to a single dot, each without its first dot."""
    *lines, end, behind = text_on_the_wire(message).split(b"\r\n")
    assert (end, behind) == (b".", b"")
    assert not any(b"\r" in line or b"\n" in line or line == b"." for line in lines)
    assert all(line.startswith(b"..") for line in lines if line.startswith(b"."))
    wanted = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n").split(b"\n")
    assert [line.removeprefix(b".") for line in lines] == wanted
