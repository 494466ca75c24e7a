"""Links in documents and notebooks: which there are, where they lead, and how one to Binder is made."""

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BADGE = "https://mybinder.org/badge_logo.svg"


def binder_link(notebook):
    """Where Binder opens a notebook of this repository; no other place says how such a link is made."""
    owner_and_name = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    return f"https://mybinder.org/v2/gh/{owner_and_name}/HEAD?urlpath=lab/tree/notebooks/{notebook}"


def binder_links_in(text):
    """Every address at Binder but the badge's."""
    return [link for link in re.findall(r"https?://(?:[\w-]+\.)*mybinder\.org[^\s)\"'>]*", text) if link != BADGE]


def links_in(text):
    """The targets of links and pictures, in Markdown and HTML."""
    return re.findall(r"\]\(\s*<?([^)\s>]+)", text) + re.findall(r"\b(?:href|src)=[\"']([^\"']+)", text)


def headings_in(text):
    """The headings as the fragments that lead to them, as JupyterLab and as GitHub spell them."""
    titles = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    github = {re.sub(r"[^\w\- ]", "", title).lower() for title in titles}
    return {title.replace(" ", "-") for title in {*titles, *github}}


def unresolved(text, folder):
    """The links of a document in `folder` that lead to no file and to no heading."""
    lost = []
    for link in links_in(text):
        path, _, fragment = unquote(link).partition("#")
        outside = re.match(r"(\w+:|//)", link)  # which a test does not visit
        if not outside and not ((folder / path).exists() if path else fragment in headings_in(text)):
            lost.append(link)
    return lost


def pictures_without_text(text):
    """The pictures, in Markdown and HTML, that say nothing to someone who does not see them."""
    return re.findall(r"!\[\s*\]\([^)]*\)", text) + re.findall(r"<img(?![^>]*\balt=[\"']\s*[^\s\"'])[^>]*>", text)
