"""Builds the site: a landing page, the figures that need no kernel, and every lesson in JupyterLite.

python notebooks/website.py          into the folder build/site/, to look at:
                                     python -m http.server --bind 127.0.0.1 -d build/site
python notebooks/website.py FOLDER   elsewhere

Needs `pip install -e ".[site]"`, and the network for a few wheels from PyPI.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from html import escape
from importlib.metadata import version
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

import nbformat
from matplotlib.colors import to_hex
from pages import FOLDER, PAGES, write

from tinygpt.lab import Explorer
from tinygpt.lab.charts.style import STYLES, THEMES
from tinygpt.lab.widgets.instrument import Instrument

HERE = Path(__file__).parent
ROOT = HERE.parent
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
LESSON = re.compile(
    r"^\| \[(\d\d) · (.+?)\]\((\S+?\.ipynb)\) \| (.+?) \| (\d+) \| \[Binder\]\((\S+?)\) \|$", re.MULTILINE
)

OF_PYODIDE = ("numpy", "matplotlib", "cloudpickle", "tqdm", "typing-extensions")  # loaded from where Pyodide is
OF_OURS = ("ipywidgets", "anywidget", "psygnal", "comm")  # wheels that it lacks: they lie beside the lessons
KERNEL = "@jupyterlite/pyodide-kernel-extension"
UP = "../" * (len(f"extensions/{KERNEL}/static/".split("/")) - 1)  # from the kernel's worker to the top of JupyterLite
WIDTH = 3  # of an optimizer's stroke
MARKERS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "*": "★"}


def main() -> None:
    """Build everything into the folder that the command line names."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else FOLDER)
    write(folder)
    land(folder)
    lite(folder / "lite")


# --- the landing page ------------------------------------------------------------------------------------------------


def land(folder: Path) -> None:
    """Write the landing page with its pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    hero = Explorer("gentle_rosenbrock", tuned=True)
    for theme in THEMES:
        picture(hero, folder / f"hero-{theme}.webp", theme, narrow=False)
        picture(hero, folder / f"hero-{theme}-narrow.webp", theme, narrow=True)
    for name, page in PAGES.items():
        figure = page.figure()
        for theme in THEMES:
            picture(figure, folder / f"{name}-{theme}.webp", theme, narrow=True)
    shutil.copy(HERE / "images" / "race.png", folder)  # what is shown where the page is linked to
    (folder / "index.html").write_text(landing(hero.caption), encoding="utf-8", newline="\n")


def picture(figure: Instrument, file: Path, theme: str, narrow: bool) -> None:
    """Write a still picture of a figure."""
    scene = figure.make_scene(theme, 2.0, narrow)
    figure.draw(scene)
    scene.image().save(file, "WEBP", quality=80)


def landing(caption: str) -> str:
    """The landing page, whose first picture says this."""
    index = (HERE / "README.md").read_text(encoding="utf-8")
    return Template((HERE / "website.html").read_text(encoding="utf-8")).substitute(
        light=colours("light"),
        dark=colours("dark"),
        caption=escape(caption),
        racers="\n".join(map(racer, STYLES)),
        pages="\n".join(map(card, PAGES)),
        lessons="\n".join(row(*found) for found in LESSON.findall(index)),
        first=lite_link("00-race.ipynb"),
        repository=REPOSITORY,
        address="https://{}.github.io/{}/".format(*REPOSITORY.split("/")[-2:]),
    )


def colours(name: str) -> str:
    """The series' colours as CSS: the page's, the hill's two ends, and everybody's line and name."""
    theme = THEMES[name]
    found = {"page": theme.page, "ink": theme.ink, "faint": theme.faint}
    found |= {"valley": to_hex(theme.hill(0.0)), "height": to_hex(theme.hill(1.0))}
    for label, style in STYLES.items():
        found |= {label: style.line(theme), f"{label}-name": style.text(theme)}
    return " ".join(f"--{name}: {colour};" for name, colour in found.items())


def racer(label: str) -> str:
    """An optimizer's name behind its stroke, as in every picture."""
    style = STYLES[label]
    dash = () if style.dash == "solid" else style.dash[1]  # in line widths
    drawn = f'd="M0 6h44" stroke="var(--{label})" stroke-dasharray="{" ".join(f"{WIDTH * part:g}" for part in dash)}"'
    stroke = f'<svg viewBox="0 0 44 12" aria-hidden="true"><path {drawn} stroke-width="{WIDTH}"/></svg>'
    mark = f'<span aria-hidden="true">{MARKERS[style.marker]}</span>'
    return f'<li style="color: var(--{label}-name)">{stroke}{mark} {label}</li>'


def card(name: str) -> str:
    """A page of `pages.py`: its first picture, its title, and what it asks."""
    page = PAGES[name]
    return f"""<li><a href="{name}.html"><picture>
<source media="(prefers-color-scheme: dark)" srcset="{name}-dark.webp">
<img src="{name}-light.webp" alt="" loading="lazy" width="480" height="360"></picture>
<strong>{escape(page.title)}</strong></a> <span>{escape(page.words)}</span></li>"""


def row(number: str, title: str, file: str, idea: str, minutes: str, binder: str) -> str:
    """A lesson of the index: its idea, and the ways into it."""
    return f"""<li><a class="lesson" href="{lite_link(file)}"><b>{number}</b>{title}</a> <span>{idea}</span>
<small>{minutes} min · <a href="{binder}" aria-label="{title}, on Binder">Binder</a></small></li>"""


def lite_link(file: str) -> str:
    """Where JupyterLite opens a notebook, seen from the landing page."""
    return f"lite/notebooks/index.html?path={file}"


# --- JupyterLite -----------------------------------------------------------------------------------------------------


def lite(folder: Path) -> None:
    """Build JupyterLite with the lessons, and all the wheels that a browser needs and Pyodide has not.

    The kernel loads what the lessons import when it starts; their cells stay as they are.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with TemporaryDirectory() as place:
        made = Path(place)
        for pattern in ("*.ipynb", "*.md", "images/*"):
            for file in HERE.glob(pattern):
                copy = made / "files" / file.relative_to(HERE)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)
                if file.suffix == ".ipynb":  # a cell as one text: its table of contents fails over lists of lines
                    copy.write_text(json.dumps(nbformat.read(file, 4)), encoding="utf-8")
        wheels(made / "pypi")
        loaded = [*OF_PYODIDE, *(f"{UP}pypi/{wheel.name}" for wheel in sorted((made / "pypi").glob("*.whl")))]
        settings = {f"{KERNEL}:kernel": {"loadPyodideOptions": {"packages": loaded}}}
        config = {"jupyter-lite-schema-version": 0, "jupyter-config-data": {"litePluginSettings": settings}}
        (made / "jupyter-lite.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        where = ("--lite-dir", place, "--output-dir", str(folder.resolve()))
        small = ("--no-sourcemaps", "--no-unused-shared-packages", "--no-libarchive", "--apps=lab", "--apps=notebooks")
        run("jupyterlite_core", "build", *where, *small, folder=place)  # where it leaves a file of its own


def wheels(folder: Path) -> None:
    """The package's own wheel, and those of OF_OURS at the versions that are installed here, as is their front end."""
    run("pip", "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    pure = ("--only-binary=:all:", "--platform=any", "--implementation=py", "--abi=none")
    run("pip", "download", "--no-deps", *pure, "--dest", str(folder), *(f"{name}=={version(name)}" for name in OF_OURS))


def run(*command: str, folder: str | None = None) -> None:
    """Run a module of this Python in a folder; what it prints is shown."""
    subprocess.run([sys.executable, "-m", *command], cwd=folder, check=True)  # noqa: S603 - of our own words


if __name__ == "__main__":
    main()
