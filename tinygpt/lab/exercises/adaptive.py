"""Exercises of the lessons on scale, Adam, weight decay and failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinygpt import Adam, AdamW, RMSProp
from tinygpt.lab.exercises.exercise import (
    ABOUT,
    EXACT,
    UNCHECKED,
    Exercise,
    Follows,
    conforms,
    given,
    ignores_scale,
    likely_cause,
    number,
)
from tinygpt.lab.exercises.slips import edited
from tinygpt.lab.exercises.walks import near, walk

# --- 06: RMSProp ------------------------------------------------------------------------------------------------------

RMSPROP = Exercise(
    name="RMSProp",
    lesson="06",
    task="Write RMSProp: keep an average v of the squared gradients, and divide the gradient by √v + eps.",
    solution=RMSProp,
    hints=(
        'The average so far is `state.get("v", 0.0)`, and 0 at the start.',
        'The new one is alpha times the old one, and 1 − alpha times g². Keep it: `state["v"] = v`.',
        "The step is λ g / (√v + eps): first the root, then eps.",
    ),
    laws=(
        Follows(
            RMSProp,
            {
                "the root of v is missing": {"np.sqrt(v)": "v"},
                "eps stands inside the root; it comes after it": {"(np.sqrt(v) + self.eps)": "np.sqrt(v + self.eps)"},
                "eps is missing": {" + self.eps": ""},
                "alpha and 1 − alpha have changed places": {
                    "self.alpha * state": "(1 - self.alpha) * state",
                    "(1 - self.alpha) * g": "self.alpha * g",
                },
                "v adds up all squares and forgets none, which is AdaGrad": {
                    "self.alpha * state": "state",
                    "(1 - self.alpha) * ": "",
                },
                "the factor 1 − alpha is missing": {"(1 - self.alpha) * ": ""},
                "v is not kept in the state, so that each step begins anew": {'state["v"] = v': ""},
                "the gradient is not squared": {"g**2": "abs(g)"},
                "v is corrected for its start at 0, as Adam does and RMSProp does not": {
                    'state["v"] = v': 'state["v"] = v\n    state["t"] = t = state.get("t", 0) + 1',
                    "np.sqrt(v)": "np.sqrt(v / (1 - self.alpha**t))",
                },
                "the step is added; it should be subtracted": {"return w -": "return w +"},
            },
            {"learning_rate": 0.1, "alpha": 0.9, "eps": 0.1},
        ),
        ignores_scale(learning_rate=0.1, alpha=0.9, eps=0.0),
        conforms(UNCHECKED, learning_rate=0.1),
    ),
    right="Every step is that of tinygpt's own RMSProp, and the scale of the loss does not matter.",
)


# --- 07: Adam ---------------------------------------------------------------------------------------------------------


def _is_the_first_step(answer: Any) -> str:
    place = number(answer)
    if near(place, 0.9, EXACT):
        return ""
    mistakes = {
        "this is how far the step leads, not where to": 0.1,
        "this is up the hill; the gradient is positive, so down is to the left": 1.1,
        "this is where Adam would land without its correction, about 3.16 times as far": 1 - 0.1 * 0.1 / 0.001**0.5,
        "the weight does not stay: at the first step m̂ is g and v̂ is g²": 1.0,
    }
    return f"Adam's first step does not lead to {place:.4g}. {likely_cause(place, mistakes, ABOUT)}".rstrip()


FIRST_STEP = Exercise(
    name="first_step",
    lesson="07",
    task="Predict where Adam's first step leads: from w = 1, with the gradient 0.5, λ = 0.1 and eps = 0.",
    solution=0.9,
    hints=(
        "At t = 1, m = (1 − β₁) g, and the correction divides by 1 − β₁. What is m̂?",
        "In the same way v̂ = g². So m̂ / √v̂ = g / |g|.",
        "The step is λ long, whatever the gradient's size, and against its sign.",
    ),
    laws=(_is_the_first_step,),
    right="The first step is λ long, whatever the size of the gradient.",
)

ADAM = Exercise(
    name="Adam",
    lesson="07",
    task="Write Adam: two averages that forget, m of g and v of g², both corrected for their start at 0.",
    solution=Adam,
    hints=(
        'Count this parameter\'s steps from 1: `t = state.get("t", 0) + 1`.',
        "m = β₁ m + (1 − β₁) g and v = β₂ v + (1 − β₂) g². Keep t, m and v in the state.",
        "Correct both, m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ), but keep the uncorrected ones.",
        "The step is λ m̂ / (√v̂ + eps).",
    ),
    laws=(
        Follows(
            Adam,
            {
                "the correction for the start at 0 is missing": {"m / (1 - b1**t), v / (1 - b2**t)": "m, v"},
                "only m is corrected; v needs it as well": {"v / (1 - b2**t)": "v"},
                "only v is corrected; m needs it as well": {"m / (1 - b1**t)": "m"},
                "eps stands inside the root; it comes after it": {
                    "(np.sqrt(v_hat) + self.eps)": "np.sqrt(v_hat + self.eps)"
                },
                "eps is added to the whole fraction; it belongs to the root below": {
                    "m_hat / (np.sqrt(v_hat) + self.eps)": "(m_hat / np.sqrt(v_hat) + self.eps)"
                },
                "eps is missing": {" + self.eps": ""},
                "the root of v̂ is missing": {"np.sqrt(v_hat)": "v_hat"},
                "t is counted from 0, so that the first correction divides by 0; it begins at 1": {
                    'state.get("t", 0) + 1': 'state.get("t", 0)',
                    "t=t": "t=t + 1",
                },
                "t is not counted up: it stays 1": {"t=t, ": ""},
                "m and v are not kept in the state, so that each step begins anew": {", m=m, v=v": ""},
                "the corrected averages are kept in the state; keep m and v as they were": {
                    "state.update(t=t, m=m, v=v)": "",
                    "    return w": "    state.update(t=t, m=m_hat, v=v_hat)\n    return w",
                },
                "β₁ and β₂ have changed places": {"(b1, b2) =": "(b2, b1) ="},
                "the gradient is not squared in v": {"g**2": "g"},
                "the factors 1 − β are missing": {"(1 - b1) * ": "", "(1 - b2) * ": ""},
                "the step uses the gradient of the moment in place of m̂": {"* m_hat": "* g"},
                "the step is added; it should be subtracted": {"return w -": "return w +"},
            },
            {"learning_rate": 0.1, "betas": (0.9, 0.95), "eps": 0.1},
        ),
        ignores_scale(learning_rate=0.1, eps=0.0),
        conforms(UNCHECKED, learning_rate=0.1),
    ),
    right="Every step is that of tinygpt's own Adam, and the scale of the loss does not matter.",
)

LINES = ("t", "m", "v", "m_hat", "v_hat", "return")  # what a line of Adam begins with, or gives
BUGGY = {  # four Adams with one wrong line each, and that line
    "A": (edited(Adam, {"(1 - b2) * g**2": "(1 - b1) * g**2"}), "v"),
    "B": (edited(Adam, {"m_hat / (np.sqrt(v_hat) + self.eps)": "(m_hat / np.sqrt(v_hat) + self.eps)"}), "return"),
    "C": (edited(Adam, {"v / (1 - b2**t)": "v / (1 - b1**t)"}), "v_hat"),
    "D": (edited(Adam, {'state.get("t", 0) + 1': 'state.get("t", 1) + 1'}), "t"),
}


def buggy(variant: str) -> Any:
    """The formula of one of the four Adams with a bug, "A" to "D", for `show_source`."""
    return BUGGY[variant][0].apply_single


def _finds_the_bugs(answer: Any) -> str:
    found = given(answer)
    if not isinstance(found, Mapping) or set(found) != set(BUGGY) or not set(found.values()) <= {*LINES, None, ...}:
        raise ValueError(
            f'the answer must be like {{"A": "m", "B": "t", "C": …, "D": …}}, with lines out of {", ".join(LINES)}, '
            f"got {found!r}"
        )
    if not {None, ...}.isdisjoint(found.values()):
        raise NotImplementedError
    wrong = [variant for variant, line in found.items() if line != BUGGY[variant][1]]
    if not wrong:
        return ""
    settings: dict[str, Any] = {"learning_rate": 0.1, "betas": (0.9, 0.95), "eps": 0.1}
    right, path = walk(Adam, **settings), walk(BUGGY[wrong[0]][0], **settings)
    ratio = (path[1] - path[0])[0] / (right[1] - right[0])[0]
    return (
        f"{len(BUGGY) - len(wrong)} of {len(BUGGY)} are right. In {wrong[0]} the line of {found[wrong[0]]} is right. "
        f"The first step of {wrong[0]}, with eps = 0.1, is {ratio:.3g} times that of Adam."
    )


BUG_HUNT = Exercise(
    name="bug_hunt",
    lesson="07",
    task=(
        'Four Adams, A to D, each have one wrong line: `buggy("A")` and so on. '
        f"Name it by what it computes, out of {', '.join(LINES)}."
    ),
    solution={variant: line for variant, (_, line) in BUGGY.items()},
    hints=(
        "Lay each beside Adam's own lines, and look at every β.",
        "In one of them eps is added to something else than the root.",
        "What is t at the first step?",
    ),
    laws=(_finds_the_bugs,),
    right="All four. B stood in a well-known textbook.",
)


# --- 08: AdamW --------------------------------------------------------------------------------------------------------

_DECAYED_FIRST = {"parameter.grad, self.betas": "parameter.grad + self.weight_decay * parameter.data, self.betas"}
_LAST_LINE = "return w - self.learning_rate * (self.weight_decay * w + m_hat / (np.sqrt(v_hat) + self.eps))"

ADAMW = Exercise(
    name="AdamW",
    lesson="08",
    task="Write AdamW as a subclass of Adam: Adam's step without decay, and λ · weight_decay · w taken off as well.",
    solution=AdamW,
    hints=(
        "Adam itself is `super().apply_single(parameter, state)`.",
        "Adam's own weight_decay goes into the gradient. Give it none, and keep yours under another name.",
        "Take `self.learning_rate * self.decay * parameter.data` off what Adam gives back.",
    ),
    laws=(
        Follows(
            AdamW,
            {
                "the decay has no effect": {"self.weight_decay * w + ": ""},
                "the decay goes into the gradient, so that Adam divides it by its size": {
                    **_DECAYED_FIRST,
                    "self.weight_decay * w + ": "",
                },
                "the decay acts twice, in the gradient and on the weight: give Adam none": _DECAYED_FIRST,
                "the decay is not multiplied by the learning rate": {
                    "self.learning_rate * (self.weight_decay * w + ": "self.weight_decay * w - self.learning_rate * ("
                },
                "the new weight decays; it should be the old one": {
                    _LAST_LINE: "w = w - self.learning_rate * m_hat / (np.sqrt(v_hat) + self.eps)\n"
                    "    return w - self.learning_rate * self.weight_decay * w"
                },
                "the weight grows; the decay should be subtracted": {"(self.weight_decay": "(-self.weight_decay"},
            },
            {"learning_rate": 0.1, "weight_decay": 0.1},
        ),
        conforms(UNCHECKED, learning_rate=0.1, weight_decay=0.1),
    ),
    right="Every step is that of tinygpt's own AdamW, and it keeps the laws that every optimizer keeps.",
)


# --- 09: failure ------------------------------------------------------------------------------------------------------

AMSGrad = edited(
    Adam,
    {
        "    state.update(t=t, m=m, v=v)": '    v_max = np.maximum(state.get("v_max", 0.0), v)\n'
        "    state.update(t=t, m=m, v=v, v_max=v_max)",
        "v / (1 - b2**t)": "v_max / (1 - b2**t)",
    },
)

AMSGRAD = Exercise(
    name="AMSGrad",
    lesson="09",
    task="Write AMSGrad as PyTorch has it: Adam that divides by the largest v so far, corrected like v.",
    solution=AMSGrad,
    hints=(
        'Beside m and v keep the largest v so far: `state.get("v_max", 0.0)`.',
        "`np.maximum` compares arrays number by number.",
        "v itself goes on as in Adam. Only v̂ is made of the largest: v_max / (1 − β₂ᵗ).",
    ),
    laws=(
        Follows(
            AMSGrad,
            {
                "this is Adam: the largest v is not kept, or not divided by": {"v_max / (1": "v / (1"},
                "the smallest v is kept in place of the largest": {"np.maximum": "np.minimum"},
                "the largest v replaces v, and so goes into the next average": {"v=v, ": "v=v_max, "},
                "the largest is taken of v̂; here it is taken of v and then corrected (both are called AMSGrad)": {
                    "0.0), v)": "0.0), v / (1 - b2**t))",
                    "v_max / (1 - b2**t)": "v_max",
                },
                "the correction is missing, as in the paper": {"m / (1 - b1**t), v_max / (1 - b2**t)": "m, v_max"},
                "v_max is not corrected; divide it by 1 − β₂ᵗ": {"v_max / (1 - b2**t)": "v_max"},
                "the root of v̂ is missing": {"np.sqrt(v_hat)": "v_hat"},
                "the largest g² is kept in place of the largest v": {"0.0), v)": "0.0), g**2)"},
            },
            {"learning_rate": 0.1, "betas": (0.9, 0.5), "eps": 1e-8},
        ),
        conforms(UNCHECKED, learning_rate=0.1),
    ),
    right="The steps never grow because a large gradient was forgotten.",
)

LARGE, PERIOD, NEARBY = 3.0, 3, 0.01


def _fails(beta2: float) -> bool:
    """Whether Adam with β₁ = 0 drifts to the right, the wrong way, on the gradients 3, −1, −1 again and again."""
    path = walk(Adam, [LARGE, -1.0, -1.0] * 300, 0.0, learning_rate=1e-3, betas=(0.0, beta2), eps=0.0)
    return bool(path[-1] > path[150])  # after 50 periods v repeats itself


def _is_the_border(answer: Any) -> str:
    beta2 = number(answer)
    if beta2 >= 1:
        raise ValueError(f"the answer must be a β₂ below 1, got {beta2:.4g}")
    fails, next_fails = _fails(beta2), _fails(min(beta2 + NEARBY, 1 - EXACT))
    if fails and not next_fails:
        return ""
    mistakes = {
        "this is the theorem's β₂ = 1/(1 + C²), which fails for certain, but is not the largest": 1 / (1 + LARGE**2),
        "this is Adam's default, with which it goes the right way here": 0.999,
    }
    end = "+1, and with a β₂ that is 0.01 larger it still does" if fails else "−1, the best point"
    otherwise = f"Try a {'larger' if fails else 'smaller'} one."
    return f"With β₂ = {beta2:.4g} Adam walks to {end}. {likely_cause(beta2, mistakes, ABOUT) or otherwise}"


FAILING_BETA2 = Exercise(
    name="failing_beta2",
    lesson="09",
    task="Find the largest β₂, to 0.01, with which Adam (β₁ = 0) walks to the worst point on gradients 3, −1, −1, 3, …",
    solution=0.47,
    hints=(
        "The theorem names one that fails: 1/(1 + C²) = 0.1. From there up.",
        "Halve the interval: try the middle of one that fails and one that does not.",
        "It lies between 0.4 and 0.5.",
    ),
    laws=(_is_the_border,),
    right="Up to here the large gradient is divided by its own size and outvoted; beyond, v remembers it long enough.",
)

ADAPTIVE_LESSONS = (RMSPROP, FIRST_STEP, ADAM, BUG_HUNT, ADAMW, AMSGRAD, FAILING_BETA2)
