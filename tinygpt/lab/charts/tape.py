"""The tape as a picture and in words: a graph of values, into which backward fills the gradients."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from tinygpt.lab import words
from tinygpt.lab.charts.layers import layers
from tinygpt.lab.charts.scene import Scene
from tinygpt.lab.charts.style import STYLES
from tinygpt.lab.graph import Flow, Graph, Node

WIDE, NARROW = 900, 480
LEAST_HEIGHT = 240
BOX, GAP = (104, 64), (40, 40)  # a node's largest width and its height, and the least room between two, logical
SUM = 18  # and more between two, one above the other, where sums stand below
MARGIN, TITLE = 10, 46  # around all nodes, and above them
CORNER = 9.0  # radius
LINE = 18.0  # from one line of a node to the next
MOST_COLUMNS = 8  # side by side; deeper graphs go from top to bottom
LETTER, BOLD = 6.6, 8.4  # the widths of most letters
BACKWARD = STYLES["momentum"]  # the colour of gradients, which are also told by their ∂


class TapePicture(Scene):
    """Draws a graph with the sources left and the loss right; on a narrow page, or where it is deep, top to bottom."""

    def __init__(self, sources: Sequence[tuple[int, ...]], theme: str, ratio: float, narrow: bool) -> None:
        self.layers = layers(sources)
        columns, rows = self.layers.columns, self.layers.rows
        self.down = narrow or columns > MOST_COLUMNS
        width = NARROW if narrow else WIDE
        room = (width - 2 * MARGIN) / (rows if self.down else columns)  # sideways, for each node
        sums = SUM * (max(Counter(chain(*sources)).values(), default=0) > 1)
        beside, below = min(room, 1.8 * BOX[0]), BOX[1] + GAP[1] + (sums if self.down else 0)
        self.step = np.array([below, beside] if self.down else [beside, below])
        self.box = min(beside - GAP[0], BOX[0]), BOX[1]
        deep = (columns if self.down else rows) * below
        super().__init__(width, max(LEAST_HEIGHT, round(deep) + TITLE + MARGIN), theme, ratio)
        self.centres = np.array([self._pixel(place) for place in self.layers.places])
        self._curves = {edge: self._curve(route, self._port(*edge)) for edge, route in self.layers.routes.items()}
        self._outline = _rounded(np.array(self.box) / 2) * ratio

    def draw(self, graph: Graph, stage: int) -> None:
        """Draw a graph at a stage of backward."""
        self.begin()
        ink, accent, words = self.theme.ink, BACKWARD.line(self.theme), BACKWARD.text(self.theme)
        flows, used = graph.flows(stage), []
        passing = flows[0].node if flows else len(graph.nodes) - 1 if stage == 1 else None
        for (place, which), curve in self._curves.items():
            if flows and place == passing:
                used.append((curve, flows[which]))
            else:
                self.stroke(curve, self.theme.ink + "70", width=1.2)
        for curve, _ in used:
            self.stroke(curve, accent, width=2.6)
            self.arrow(curve[4], curve[0], accent, width=2.6)
        arrived, gradients = graph.arrived(stage), graph.gradients(stage)
        for i, node in enumerate(graph.nodes):
            self._draw_box(i, accent if i == passing else ink, 2.6 if i == passing else 1.0)
            self._line(i, 1, self._made(node), ink, bold=True)
            self._line(i, 0, self._told(node.value), ink)
            if i in gradients:
                self._line(i, -1, f"∂ {self._told(gradients[i])}", words)
            if len(arrived.get(i, ())) > 1:
                told, below = _sum(arrived[i]), self.centres[i] - (0, (self.box[1] / 2 + 10) * self.ratio)
                fits = len(told) * LETTER < self.box[0] + GAP[0]
                self._label(below, told if fits else f"sum of {len(arrived[i])}", words)
        for curve, flow in used:
            if np.ndim(flow.slope) == 0 and np.ndim(flow.gradient) == 0:
                told, middle = f"× {number(flow.slope, 2)}", curve[len(curve) // 2]
                if not self.down and abs(curve[-1][1] - curve[0][1]) < LINE * self.ratio:
                    x, y = middle  # on so short an edge the words would hide it
                    self.write((x, y + 12 * self.ratio), told, words, 0.5)
                else:
                    self._label(middle, told, words)
        top = (MARGIN * self.ratio, (self.height - 18) * self.ratio)
        self.write(top, tape_title(graph, stage), ink, size=11)

    def node_at(self, x: float, y: float) -> int | None:
        """The node at a place of the picture, in logical pixels from its upper left corner."""
        off = np.abs(self.centres / self.ratio - (x, self.height - y)) - np.array(self.box) / 2
        inside = np.flatnonzero(np.all(off <= 0, axis=1))
        return int(inside[0]) if inside.size else None

    def _pixel(self, place: Any) -> Any:
        """The centre of a place (column, row), in pixels."""
        column, row = place
        if self.down:
            spare = self.width - self.layers.rows * self.step[1]
            x, y = spare / 2 + (row + 0.5) * self.step[1], TITLE + (column + 0.5) * self.step[0]
        else:
            spare = self.width - self.layers.columns * self.step[0], self.height - TITLE - MARGIN
            x = spare[0] / 2 + (column + 0.5) * self.step[0]
            y = TITLE + spare[1] / 2 + (row + 0.5 - self.layers.rows / 2) * self.step[1]
        return np.array([x, self.height - y]) * self.ratio

    def _port(self, node: int, which: int) -> float:
        """Where an edge enters its node, in edges from the middle: those that come from above enter above."""
        rows = [(route[-2][1], i) for (place, i), route in self.layers.routes.items() if place == node]
        return sorted(rows).index((self.layers.routes[node, which][-2][1], which)) - (len(rows) - 1) / 2

    def _curve(self, route: Any, port: float) -> Any:
        """An edge from the side of its source to the side of its node, smooth where it comes by other columns."""
        stops = np.array([self._pixel(place) for place in route])
        half, apart = np.array(self.box) / 2 * self.ratio, 14 * self.ratio * port
        stops[0] += (0, -half[1]) if self.down else (half[0], 0)
        stops[-1] += (apart, half[1]) if self.down else (-half[0], -apart)
        slopes = np.zeros_like(stops)
        slopes[1:-1] = (stops[2:] - stops[:-2]) / 2
        t = np.linspace(0, 1, 24)[:, None]
        pieces = []
        for (start, leaving), (end, arriving) in pairwise(zip(stops, slopes, strict=True)):
            straight = start + t * (end - start)
            eased = straight + t * (1 - t) * ((1 - t) * (leaving - end + start) - t * (arriving - end + start))
            x, y = (eased, straight) if self.down else (straight, eased)
            pieces.append(np.column_stack([x[:, 0], y[:, 1]]))
        return np.concatenate(pieces)

    def _draw_box(self, node: int, edge: str, width: float) -> None:
        fill = to_hex(self.theme.hill(0.6 if self.theme.is_dark else 0.0))
        self.fill(self.centres[node] + self._outline, fill, edge, width)

    def _line(self, node: int, line: int, text: str, colour: str, bold: bool = False) -> None:
        self.write(self.centres[node] + (0, line * LINE * self.ratio), text, colour, 0.5, bold=bold)

    def _label(self, pixel: Any, text: str, colour: str) -> None:
        half = np.array([len(text) * LETTER / 2 + 3, 9.0]) * self.ratio
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
        self.fill(pixel + corners * half, self.theme.page)
        self.write(pixel, text, colour, 0.5)

    def _made(self, node: Node) -> str:
        """A node's name and how it was made, as far as there is room."""
        whole, short = f"{node.name} = {node.formula}", f"{node.name} = {node.operation}"
        if not node.sources:
            return node.name
        return next((text for text in (whole, short) if len(text) * BOLD < self.box[0]), node.operation)

    def _told(self, value: Any) -> str:
        """A value in the room that a node has."""
        text = number(value)
        return text if len(text) * LETTER < self.box[0] else f"{np.size(value)} numbers"


def _rounded(half: Any) -> Any:
    """The outline of a box with round corners about its middle, (points, 2)."""
    turn = np.linspace(0, math.pi / 2, 7)
    arcs = [
        (half - CORNER) * sign + CORNER * np.column_stack([np.cos(turn + start), np.sin(turn + start)])
        for start, sign in zip(np.arange(4) * math.pi / 2, [(1, 1), (-1, 1), (-1, -1), (1, -1)], strict=True)
    ]
    return np.concatenate([*arcs, arcs[0][:1]])


def number(value: Any, digits: int = 3) -> str:
    """A number with so many digits, or a few numbers in brackets."""
    if np.ndim(value):
        return f"[{', '.join(map(number, value))}]" if np.size(value) <= 4 else f"{np.size(value)} numbers"
    if np.isnan(value):
        return "no number"
    return ("−" if value < 0 else "") + ("∞" if np.isinf(value) else words.number(abs(value), digits))


def _sum(parts: Sequence[Any]) -> str:
    return " + ".join(map(number, parts)).replace("+ −", "− ")


def tape_title(graph: Graph, stage: int) -> str:
    """What happens at a stage, in a few words."""
    if stage == 0:
        return "forward: values only"
    if stage == 1:
        return "backward begins at the end, with 1"
    names = list(dict.fromkeys(graph.nodes[flow.source].name for flow in graph.flows(stage)))
    return f"backward: {graph.nodes[graph.flows(stage)[0].node].name} passes its gradient on to {' and '.join(names)}"


def tape_caption(graph: Graph, stage: int) -> str:
    """What happened at a stage, with its numbers."""
    nodes, last = graph.nodes, graph.nodes[-1]
    leaves = ", ".join(f"{node.name} = {number(node.value)}" for node in nodes if not node.sources)
    if stage == 0:
        made = [f"{node.name} = {node.formula} = {number(node.value)}" for node in nodes if node.sources]
        return f"{'; '.join([leaves, *made])}. No gradient is known yet."
    opening = f"{leaves}. Stage {stage} of {graph.stages}:"
    if stage == 1:
        words = f"backward begins at the end; the gradient of {last.name} = {number(last.value)} by itself is 1."
    else:
        words = _passing_on(graph, stage)
    if stage == graph.stages:
        gradients = graph.gradients(stage)
        own = [f"∂{last.name}/∂{n.name} = {number(gradients[i])}" for i, n in enumerate(nodes) if not n.sources]
        words += f" All gradients are known: {', '.join(own)}."
    return f"{opening} {words}"


def _passing_on(graph: Graph, stage: int) -> str:
    flows, gradients = graph.flows(stage), graph.gradients(stage)
    node = graph.nodes[flows[0].node]
    gives = ", and ".join(f"{graph.nodes[flow.source].name} {_product(gradients[flow.node], flow)}" for flow in flows)
    sentences = [f"{node.name} = {node.formula} has gradient {number(gradients[flows[0].node])} and gives {gives}."]
    for source in dict.fromkeys(flow.source for flow in flows):
        parts = graph.arrived(stage)[source]
        if len(parts) > 1:
            count = {2: "both parts are", 3: "all three parts are"}.get(len(parts), f"all {len(parts)} parts are")
            total = f"{_sum(parts)} = {number(gradients[source])}"
            sentences.append(f"{graph.nodes[source].name} is used more than once, so {count} added: {total}.")
    return " ".join(sentences)


def _product(gradient: Any, flow: Flow) -> str:
    """The chain rule with its numbers, where they are single ones."""
    if np.ndim(gradient) or np.ndim(flow.slope):
        return number(flow.gradient)
    return f"{number(gradient)} × {number(flow.slope)} = {number(flow.gradient)}"
