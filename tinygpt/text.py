"""What a small GPT reads: tokenizers turn text into numbers, sources turn numbers into examples to learn from.

A source draws its examples from the `numpy.random.Generator` it is given and remembers nothing, so that generator's
state is the whole position in the data: who restores it gets the same batches, bit by bit.
"""

from __future__ import annotations

import heapq
import json
import os
import re
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain, pairwise
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygpt import checkpoint

IGNORED = -1  # the target where nothing is to be learned: cross_entropy(…, ignore_index=IGNORED)

END_OF_TEXT = "<|endoftext|>"  # what GPT-2 was shown between two documents

Tokens = NDArray[np.int64]
Pair = tuple[bytes, bytes]
Sliced = TypeVar("Sliced", str, Tokens)

# --- tokenizers -------------------------------------------------------------------------------------------------------


class Tokenizer(ABC):
    """Text to tokens and back: a token is the number of a piece of text in `vocabulary`."""

    vocabulary: tuple[Any, ...]

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.vocabulary)

    @abstractmethod
    def encode(self, text: str) -> Tokens:
        """The tokens of the text, one after the other."""

    @abstractmethod
    def decode(self, tokens: ArrayLike) -> str:
        """The text of the tokens.

        Raises: ValueError for what is no row of this tokenizer's tokens.
        """

    def save(self, file: checkpoint.File) -> None:
        """Write the tokenizer to a checkpoint, from which `load_tokenizer` reads it."""
        # latin-1 has one character for every byte
        pieces = [piece.decode("latin-1") if isinstance(piece, bytes) else piece for piece in self.vocabulary]
        checkpoint.save(file, {"kind": type(self).__name__, "vocabulary": pieces})

    def _pieces(self, tokens: ArrayLike) -> list[Any]:
        row = np.asarray(tokens)
        if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
            raise ValueError(f"tokens must be one row of integers, got shape {row.shape} of {row.dtype}: decode a row")
        if row.size and not (row.min() >= 0 and row.max() < self.size):
            raise ValueError(f"tokens must be in [0, {self.size}), got {row.min()} to {row.max()}: keep those that are")
        return [self.vocabulary[token] for token in row.tolist()]


class CharacterTokenizer(Tokenizer):
    """Every character of an alphabet is a token, in the order of Unicode.

    Raises: ValueError for an alphabet that is empty or repeats a character.
    """

    def __init__(self, alphabet: str) -> None:
        self.vocabulary = tuple(sorted(alphabet))
        self._tokens = {character: token for token, character in enumerate(self.vocabulary)}
        if not alphabet or len(self._tokens) < len(alphabet):
            raise ValueError(
                f"alphabet must hold every character once, got {alphabet[:40]!r}: use CharacterTokenizer.of(text)"
            )

    @classmethod
    def of(cls, text: str) -> CharacterTokenizer:
        """The tokenizer whose alphabet is the characters of the text."""
        return cls("".join(set(text)))

    def encode(self, text: str) -> Tokens:
        """The tokens of the text, one for each character.

        Raises: ValueError for a character that is not in the alphabet.
        """
        try:
            return np.fromiter((self._tokens[character] for character in text), np.int64, len(text))
        except KeyError as error:
            raise ValueError(
                f"text must keep to the alphabet's {self.size} characters, got {error.args[0]!r}: "
                "learn the alphabet from a text that has it, or take a BytePairTokenizer"
            ) from None

    def decode(self, tokens: ArrayLike) -> str:
        """The text of the tokens."""
        return "".join(self._pieces(tokens))


# White space, letters, digits and the rest are words of their own; a word takes the one space before it along.
_WORD = re.compile(
    r"""
      '(?:s|t|re|ve|m|ll|d)     # what the apostrophe parts in it's, don't, we're
    | [ ]?[^\W\d_]+             # letters
    | [ ]?\d+                   # digits
    | [ ]?(?:[^\s\w]|_)+        # punctuation, and all else
    | \s+(?!\S)                 # white space, save the last before a word,
    | \s+                       # which stands alone where it is not a space
    """,
    re.VERBOSE,
)
_BYTES = [bytes([byte]) for byte in range(256)]


class BytePairTokenizer(Tokenizer):
    """Byte pair encoding: the 256 bytes are tokens, and so is what often stands together.

    Text is cut into words, and each word into its bytes in UTF-8, so that any text has tokens. Then, as long as two
    neighbours together are a token, they merge, those of the earliest token in `vocabulary` first. So the vocabulary
    alone says all: training never makes a token twice, and here its merges are done again in the order they were made.

    Raises: ValueError for a vocabulary that lacks a byte or repeats a token.
    Source: Sennrich et al. 2016, https://arxiv.org/abs/1508.07909; on bytes: Radford et al. 2019 (GPT-2), section 2.2
    """

    def __init__(self, vocabulary: Iterable[bytes]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._tokens = {piece: token for token, piece in enumerate(self.vocabulary)}
        if len(self._tokens) < self.size or not self._tokens.keys() >= set(_BYTES):
            raise ValueError(
                f"vocabulary must hold all 256 bytes and no piece twice, got {self.size} pieces, of them "
                f"{len(self._tokens)} different: use BytePairTokenizer.train(text, size)"
            )

    @classmethod
    def train(cls, text: str, size: int) -> BytePairTokenizer:
        """Learn a vocabulary of that size: again and again the most frequent pair of neighbours becomes a token.

        Of pairs as frequent as each other the first in the order of bytes is taken, so that a text has one outcome.

        Raises: ValueError for fewer tokens than bytes, or for more than the text has pairs to merge.
        """
        if size < len(_BYTES):
            raise ValueError(f"size must be >= {len(_BYTES)}, for every byte is a token, got {size}")
        return cls(_learn(text, size))

    @classmethod
    def from_gpt2(cls, folder: checkpoint.File) -> BytePairTokenizer:
        """GPT-2's own tokenizer, from its vocab.json and merges.txt.

        Two differences: digits outside of the decimal ones, ½ or Ⅷ, are letters to Python's `re`, and the control
        characters U+001C to U+001F white space. `<|endoftext|>` is a token that no text is encoded to.

        Raises: ValueError where the files do not agree; OSError from the disk.
        Source: https://github.com/openai/gpt-2/blob/master/src/encoder.py
        """
        with open(os.path.join(folder, "vocab.json"), encoding="utf-8") as stream:
            numbers = json.load(stream)
        with open(os.path.join(folder, "merges.txt"), encoding="utf-8") as stream:
            merges = [line.replace(" ", "") for line in stream.read().splitlines() if not line.startswith("#version")]
        shown = _shown_bytes()
        tokens = [*sorted(shown, key=lambda character: numbers.get(character, -1)), *merges]
        tokens += [END_OF_TEXT] * (END_OF_TEXT in numbers)
        if numbers != {token: number for number, token in enumerate(tokens)}:
            raise ValueError(
                f"{folder} must hold GPT-2's vocab.json and merges.txt, but the one is not the 256 bytes, then the "
                f"merges of the other in their order, then {END_OF_TEXT}: take both from the same model"
            )
        return cls(bytes(shown[character] for character in token) for token in tokens)

    def encode(self, text: str) -> Tokens:
        """The tokens of the text; each distinct word is worked out once.

        Raises: UnicodeEncodeError (a ValueError) for half of a surrogate pair, which UTF-8 cannot hold.
        """
        words = _WORD.findall(text)
        known = {word: self._merge(word) for word in set(words)}
        return np.fromiter(chain.from_iterable(known[word] for word in words), np.int64)

    def decode(self, tokens: ArrayLike) -> str:
        """The text of the tokens, with � for bytes that are no UTF-8: a token may end inside of a character."""
        return b"".join(self._pieces(tokens)).decode("utf-8", errors="replace")

    def _merge(self, word: str) -> list[int]:
        pieces = _bytes_of(word)
        while len(pieces) > 1:
            first = min(pairwise(pieces), key=lambda pair: self._tokens.get(pair[0] + pair[1], self.size))
            if first[0] + first[1] not in self._tokens:
                break
            pieces = _merged(pieces, first)
        return [self._tokens[piece] for piece in pieces]


def load_tokenizer(file: checkpoint.File) -> Tokenizer:
    """The tokenizer that `save` wrote.

    Raises: ValueError for any other file, or a damaged one; OSError from the disk.
    """
    name, content = os.path.basename(file), checkpoint.load(file)
    try:
        match content:
            case {"kind": "CharacterTokenizer", "vocabulary": [*pieces]}:
                return CharacterTokenizer("".join(pieces))
            case {"kind": "BytePairTokenizer", "vocabulary": [*pieces]}:
                return BytePairTokenizer(piece.encode("latin-1") for piece in pieces)
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{name} must be as save writes it, but {error}: save it again") from error
    raise ValueError(f"{name} must hold a tokenizer, but it holds something else: pick another file")


def _bytes_of(word: str) -> list[bytes]:
    return [_BYTES[byte] for byte in word.encode("utf-8")]


def _merged(pieces: list[bytes], pair: Pair) -> list[bytes]:
    """The pieces with every such pair joined, from left to right."""
    merged: list[bytes] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def _learn(text: str, size: int) -> list[bytes]:
    """The vocabulary that training finds: the bytes, then the merges in their order."""
    frequencies = Counter(_WORD.findall(text))
    words, vocabulary = [_bytes_of(word) for word in frequencies], list(_BYTES)
    counts, pairs = list(frequencies.values()), Counter[Pair]()
    places = defaultdict[Pair, set[int]](set)  # the words that have the pair, or had it once

    def tally(place: int, sign: int) -> None:
        for pair in pairwise(words[place]):
            pairs[pair] += sign * counts[place]
            places[pair].add(place)

    for place in range(len(words)):
        tally(place, +1)
    queue = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(queue)
    while queue and len(vocabulary) < size:
        count, pair = heapq.heappop(queue)
        if -count > pairs[pair]:  # a pair that is queued can only lose: this one waits again, with its true count
            heapq.heappush(queue, (-pairs[pair], pair))
        elif count:
            joined, changed = pair[0] + pair[1], places.pop(pair)
            vocabulary.append(joined)
            for place in changed:
                tally(place, -1)
                words[place] = _merged(words[place], pair)
                tally(place, +1)
            for born in {born for place in changed for born in pairwise(words[place]) if joined in born}:
                heapq.heappush(queue, (-pairs[born], born))
    if len(vocabulary) < size:
        raise ValueError(f"size must be <= {len(vocabulary)} for this text, got {size}: train on a longer one")
    return vocabulary


def _shown_bytes() -> dict[str, int]:
    """The characters by which GPT-2's files show the bytes: their own where it is printed, else one from U+0100 on."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + n): byte for n, byte in enumerate(others)}


# --- sources ----------------------------------------------------------------------------------------------------------


class Source(Protocol):
    """Where examples come from: what `Passages` and every `Task` offer."""

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What turns the examples back into text, if they are text."""

    @property
    def length(self) -> int:
        """How many tokens an example has."""

    def sample(self, count: int, rng: np.random.Generator) -> tuple[Tokens, Tokens]:
        """Inputs, and the target of each: the token that follows it, or IGNORED. Shapes: (count, length), both."""


def split(text: Sliced) -> tuple[Sliced, Sliced]:
    """A text, or its tokens, in two: nine tenths to train on, and the last to see what was learned."""
    cut = len(text) - len(text) // 10
    return text[:cut], text[cut:]


class Passages:
    """Passages of a long text, each as likely as every other.

    Raises: ValueError for tokens that are not one row, or too few for a passage and the token after it.
    """

    def __init__(self, tokens: ArrayLike, length: int, tokenizer: Tokenizer | None = None) -> None:
        self.tokens, self.length, self.tokenizer = np.asarray(tokens), length, tokenizer
        if self.tokens.ndim != 1 or self.tokens.dtype.kind not in "iu":
            found = f"shape {self.tokens.shape} of {self.tokens.dtype}"
            raise ValueError(f"tokens must be one row of integers, got {found}: see Tokenizer.encode")
        if not 1 <= length < len(self.tokens):
            raise ValueError(
                f"length must be >= 1 and < the {len(self.tokens)} tokens, got {length}: take a longer text"
            )

    def sample(self, count: int, rng: np.random.Generator) -> tuple[Tokens, Tokens]:
        """That many passages, and what follows each of their tokens. Shapes: (count, length), both."""
        starts = rng.integers(len(self.tokens) - self.length, size=count)
        passages = self.tokens[starts[:, None] + np.arange(self.length + 1)].astype(np.int64, copy=False)
        return passages[:, :-1], passages[:, 1:]


class Task(ABC):
    """Questions with one right answer each: a subclass says how many there are, and writes each as text.

    Only the answers are to be learned: the targets within the questions are IGNORED. About a tenth of the problems,
    MOST_HELD_OUT at most, are never trained on. Which ones follows from the raw numbers of PCG64, which NumPy keeps for
    ever: a model from another machine or year is not examined on what it saw. What is drawn from an rng follows from
    `Generator.integers` and `permutation`, which a version of NumPy may change (NEP 19).

    Raises: ValueError for fewer than 2 problems, or more than int64 can count.
    Source: https://numpy.org/doc/stable/reference/random/bit_generators/pcg64.html, compatibility guarantee
    """

    MOST_HELD_OUT = 1000

    def __init__(self, alphabet: str, problems: int) -> None:
        if not 2 <= problems < 2**63:
            raise ValueError(f"a task must have 2 to 2**63 - 1 problems, got {problems}: make them longer or shorter")
        self.tokenizer = CharacterTokenizer(alphabet)
        self.problems = problems
        draws = np.random.PCG64(0).random_raw(max(1, min(problems // 10, self.MOST_HELD_OUT)))
        self.held_out = np.unique(draws % problems).astype(np.int64)
        question, answer = self.write(0)
        self.prompt_length, self.answer_length = len(question), len(answer)
        self.length = len(question + answer) - 1

    @abstractmethod
    def write(self, problem: int) -> tuple[str, str]:
        """Question and answer of the problem with that number, each as long as those of any other."""

    def sample(self, count: int, rng: np.random.Generator) -> tuple[Tokens, Tokens]:
        """Problems to train on, and their targets. Shapes: (count, length), both."""
        rank = rng.integers(self.problems - len(self.held_out), size=count)
        # a problem of that rank among those to train on has this many held-out ones before it
        before = np.searchsorted(self.held_out - np.arange(len(self.held_out)), rank, side="right")
        tokens = self._encoded(rank + before)
        inputs, targets = tokens[:, :-1], tokens[:, 1:].copy()
        targets[:, : self.prompt_length - 1] = IGNORED
        return inputs, targets

    def examination(self, count: int, rng: np.random.Generator) -> tuple[Tokens, Tokens]:
        """Questions never trained on and their answers, none twice: that many, or all if there are fewer.

        Shapes: (count, prompt_length), (count, answer_length).
        """
        tokens = self._encoded(rng.permutation(self.held_out)[:count])
        return tokens[:, : self.prompt_length], tokens[:, self.prompt_length :]

    def accuracy(self, model: Any, count: int = 200, rng: np.random.Generator | None = None) -> float:
        """The share of held-out problems whose whole answer the model gets right, taking the likeliest token each time.

        Without an rng it is the same examination every time.
        """
        prompts, answers = self.examination(count, rng or np.random.default_rng(0))
        written = np.asarray(model.generate(prompts, self.answer_length, temperature=0))
        return float((written[:, self.prompt_length :] == answers).all(axis=1).mean())

    def _encoded(self, problems: Tokens) -> Tokens:
        text = "".join(question + answer for question, answer in map(self.write, problems.tolist()))
        return self.tokenizer.encode(text).reshape(len(problems), self.length + 1)


_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # as np.base_repr writes them


class Addition(Task):
    """27+85=211; the sum of two numbers, its last digit first.

    A carry comes from the right. Written from there, each digit of the sum needs no more than what stands before it.
    Written as we do, the first digit needs all carries at once, and is much harder to learn: see with `reverse=False`.
    Zeros in front make all problems equally long. Of 27+85 and 85+27 one may be held out and the other trained on.

    Raises: ValueError for digits beyond 1 to 9.
    Source: Lee et al. 2023. https://arxiv.org/abs/2307.03381
    """

    def __init__(self, digits: int = 2, reverse: bool = True) -> None:
        if not 1 <= digits <= 9:
            raise ValueError(f"digits must be in [1, 9], got {digits}")
        self.digits, self.reverse = digits, reverse
        super().__init__(f"{_DIGITS[:10]}+=;", 100**digits)

    def write(self, problem: int) -> tuple[str, str]:
        """27+85= and 211; for problem 2785."""
        a, b = divmod(problem, 10**self.digits)
        total = f"{a + b:0{self.digits + 1}}"
        return f"{a:0{self.digits}}+{b:0{self.digits}}=", (total[::-1] if self.reverse else total) + ";"


class Sorting(Task):
    """352019>012359: symbols put in order.

    Raises: ValueError for less than one symbol to sort, or for an alphabet of less than 2 symbols or more than 36.
    """

    def __init__(self, count: int = 6, symbols: int = 10) -> None:
        if count < 1 or not 2 <= symbols <= 36:
            raise ValueError(f"count must be >= 1 and symbols in [2, 36], got count={count} and symbols={symbols}")
        self.count, self.symbols = count, symbols
        super().__init__(f"{_DIGITS[:symbols]}>", symbols**count)

    def write(self, problem: int) -> tuple[str, str]:
        """352019> and 012359 for problem 352019: the question is its number in the base of as many symbols."""
        question = np.base_repr(problem, self.symbols).zfill(self.count)
        return question + ">", "".join(sorted(question))
