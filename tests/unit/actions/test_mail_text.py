"""The text part made from HTML reads like the mail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.actions.mail_text import text_from_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain", "plain\n"),
        ("<p>one</p><p>two</p>", "one\n\ntwo\n"),
        ("<p>a\n   b\t<b>c</b></p>", "a b c\n"),
        ("a<br>b<br/>c", "a\nb\nc\n"),
        ("<h1>Title</h1>text", "Title\n\ntext\n"),
        ("<div>a</div><div>b</div>", "a\nb\n"),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>", "- a\n- b\n  - c\n"),
        ("<ol><li>a<li>b</ol>", "1. a\n2. b\n"),
        (
            "<p>see <a href='https://x.example/y?a=1&amp;b=2'>this</a>.</p>",
            "see this <https://x.example/y?a=1&b=2>.\n",
        ),
        ("<a href='https://x.example/'>https://x.example/</a>", "https://x.example/\n"),
        ("<a href='mailto:a@x.example'>a@x.example</a>", "a@x.example\n"),
        ("<a href='mailto:a@x.example'>write</a>", "write <a@x.example>\n"),
        ("<a href='javascript:alert(1)'>click</a>", "click\n"),
        ("<a href='#top'>up</a>", "up\n"),
        ("<a href='https://x.example/'><img alt='Logo'></a>", "Logo <https://x.example/>\n"),
        ("<table><tr><th>SKU</th><th>Qty</th></tr><tr><td>A</td><td>2</td></tr></table>", "SKU  Qty\nA  2\n"),
        ("<style>p{}</style><script>x</script><title>t</title>shown", "shown\n"),
        ("<div style='display: none'>hidden<div>too</div></div>shown", "shown\n"),
        ("<p hidden>hidden</p>shown", "shown\n"),
        ("<pre>a\n  b</pre>c", "a\n  b\n\nc\n"),
        ("a<hr>b", "a\n" + "-" * 40 + "\nb\n"),
        ("1 &lt; 2 &amp;&nbsp;3", "1 < 2 & 3\n"),
        ("</p></a></ul>text</pre>", "text\n"),
    ],
)
def test_html_reads_as_text(html: str, text: str) -> None:
    """Paragraphs, lists, tables and links, and nothing that is hidden."""
    assert text_from_html(html) == text


@given(st.text(alphabet="<>/abipreultd hn=\"'&;!- \n", max_size=200))
def test_any_html_ends_as_some_text(html: str) -> None:
    """Broken HTML is no error, and blank lines never pile up."""
    text = text_from_html(html)
    assert "\n\n\n" not in text or "<pre" in html
