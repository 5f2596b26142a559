"""The pages of the repository, and the code blocks in them.

The language of a block may be followed by a word: `settings` (loaded as settings) or `no-run` (only looked at), or by
`title="path"`, which names the file that a reader is to write. A comment before a block is for the tests, and no reader sees it:

    <!-- given
    from shop.tasks import checkout
    -->
    <!-- continues -->
    <!-- not run: it needs a shop -->

`given` is Python that is run before the block. A block that continues is run after the one before it, with all that it continues.
A block that is not run says why. In a page that is walked, `until` names what a block waits for, and `look` what its reader sees
before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"(?P<comments>(?:^<!-- (?:.*?)-->\n+)*)"
    r'^```(?P<language>\w+)?(?: (?:title="(?P<title>[^"]+)"|(?P<word>[\w-]+)))?\n(?P<code>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
CONTINUES = "<!-- continues -->\n"
GIVEN = re.compile(r"^<!-- given\n(.*?)-->$", re.MULTILINE | re.DOTALL)
REASON = re.compile(r"^<!-- not run: (.+?) -->$", re.MULTILINE)
UNTIL = re.compile(r"^<!-- until: (.+?) -->$", re.MULTILINE)
LOOK = re.compile(r"^<!-- look: (.+?) -->$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One code block of a page, with what the comments before it say."""

    page: Path
    line: int
    language: str
    word: str
    title: str
    code: str
    given: str = ""
    reason: str = ""
    until: str = ""
    look: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """Give every code block of a page."""
    text = page.read_text()
    before = ""
    for match in FENCE.finditer(text):
        comments = match["comments"]
        given = "\n".join([*([before] if CONTINUES in comments else []), *GIVEN.findall(comments)])
        if match["language"] == "python" and not match["word"] and not match["title"]:
            before = f"{given}\n{match['code']}"
        yield Block(
            page,
            text[: match.end("comments")].count("\n") + 1,
            match["language"] or "",
            match["word"] or "",
            match["title"] or "",
            match["code"],
            given=given,
            reason=" ".join(REASON.findall(comments)),
            until=" ".join(UNTIL.findall(comments)),
            look=" ".join(LOOK.findall(comments)),
        )


def blocks() -> list[Block]:
    """Return every code block of every page."""
    return [block for page in PAGES for block in blocks_of(page)]


def prose(page: Path) -> str:
    """Return a page without its code blocks and comments."""
    return re.sub(r"<!--.*?-->", "", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S), flags=re.S)
