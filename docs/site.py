"""What the site builder does beside building: the pages of the repository's root belong to the site, too."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
ROOT_PAGES = {name: f"project/{name}" for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")}
LINK = re.compile(r"\]\((?!\w+:|#|/)([^)#\s]+)((?:#[^)\s]+)?)\)")
# What begins a fence here after the language is for the tests, and means something else to the highlighter.
FENCE = re.compile(r"^```(\w+) [\w-]+$", re.MULTILINE)
# The theme draws what stands in such an element.
MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a comment says is for the tests, too.
COMMENT = re.compile(r"^<!-- .*?-->\n", re.MULTILINE | re.DOTALL)
INDEXED = re.compile(r"^(#{2,3}) (.+)$|\[([^\]]+)\]\(([^)#]+\.md)\)", re.MULTILINE)


def on_config(config: Any) -> Any:
    """Take the way around the site from the index: its headings, and the pages under each."""
    config.nav = nav_of((ROOT / "docs" / "index.md").read_text())
    return config


def nav_of(index: str) -> list[Any]:
    """Return the pages of an index in its order, each once, grouped by its headings; what comes before these is the start."""
    nav: list[Any] = [{"Start": (start := ["index.md"])}]
    groups: dict[int, list[Any]] = {1: nav}
    pages = [_page_of(target) for _, _, _, target in INDEXED.findall(index) if target]
    for heading, title, words, target in INDEXED.findall(index):
        if heading:
            groups = {depth: groups[depth] for depth in groups if depth < len(heading)}
            groups[max(groups)].append({title: (group := [])})
            groups[len(heading)] = group
        elif len(groups) > 1 or pages.count(_page_of(target)) == 1:
            group = start if len(groups) == 1 else groups[max(groups)]
            # Words that go on a sentence are no title: the page's own is.
            group.append(_page_of(target) if words[0].islower() else {words: _page_of(target)})
    return nav


def _page_of(target: str) -> str:
    page = os.path.normpath(PurePosixPath("docs") / target)
    return ROOT_PAGES.get(page, page.removeprefix("docs/"))


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the root."""
    for name, place in ROOT_PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links to where their pages are on the site."""
    place = PurePosixPath(page.file.src_uri)
    home = PurePosixPath("docs") / place if str(place) not in ROOT_PAGES.values() else PurePosixPath(place.name)

    def led(found: re.Match[str]) -> str:
        target = os.path.normpath(home.parent / found[1])
        if target in ROOT_PAGES:
            target = ROOT_PAGES[target]
        elif target.startswith("docs/"):
            target = target.removeprefix("docs/")
        elif target == "docs":
            target = "index.md"
        else:
            return found[0]
        return f"]({os.path.relpath(target, place.parent)}{found[2]})"

    markdown = MERMAID.sub(r'<pre class="mermaid"><code>\1</code></pre>', markdown)
    return FENCE.sub(r"```\1", COMMENT.sub("", LINK.sub(led, markdown)))
