"""Text as tokens, and the examples made of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygpt import checkpoint, text
from tinygpt.text import (
    IGNORED,
    Addition,
    BytePairTokenizer,
    CharacterTokenizer,
    Passages,
    Sorting,
    Source,
    Task,
    Tokenizer,
    load_tokenizer,
    split,
)

LAWS = settings(derandomize=True, deadline=None, max_examples=60)

PROSE = (
    """It's the best of times, it was the worst of times; it's an age of wisdom -- we'll see!
    The 1st of 1,000 lines isn't the last_line.\r\n\tÜber die Zeiten: «les meilleurs», 最好的时代 🙂🙂.\n\n"""
    * 3
)

ANY_TEXT = st.text() | st.text("ab'st _1½\n\r\t\u00a0\x1cé最🙂\u200d")  # the second kind meets all of the word's rules
TOKENIZERS = {
    "characters": CharacterTokenizer.of(PROSE),
    "bytes": BytePairTokenizer.train("", 256),
    "pairs": BytePairTokenizer.train(PROSE, 330),
}
each_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
each_byte_tokenizer = pytest.mark.parametrize("name", ["bytes", "pairs"])


def words_of(written: str) -> list[str]:
    return text._WORD.findall(written)


# --- there and back ---------------------------------------------------------------------------------------------------


@each_byte_tokenizer
@LAWS
@given(written=ANY_TEXT)
def test_any_text_comes_back_from_its_bytes(name: str, written: str) -> None:
    assert TOKENIZERS[name].decode(TOKENIZERS[name].encode(written)) == written


@LAWS
@given(written=st.text(sorted(set(PROSE))))
def test_a_text_comes_back_from_its_characters(written: str) -> None:
    assert TOKENIZERS["characters"].decode(TOKENIZERS["characters"].encode(written)) == written


@each_tokenizer
@pytest.mark.parametrize("written", ["", PROSE])
def test_tokens_are_one_row_of_int64_below_the_size(tokenizer: Tokenizer, written: str) -> None:
    tokens = tokenizer.encode(written)
    assert (tokens.ndim, tokens.dtype, bool(np.all((tokens >= 0) & (tokens < tokenizer.size)))) == (1, np.int64, True)


@each_tokenizer
def test_every_token_is_encoded_to_itself(tokenizer: Tokenizer) -> None:
    readable = [t for t in range(tokenizer.size) if "\ufffd" not in tokenizer.decode([t])]
    assert [tokenizer.encode(tokenizer.decode([token])).tolist() for token in readable] == [[t] for t in readable]


@each_tokenizer
@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        ([0, IGNORED], r"^tokens must be in \[0, \d+\), got -1 to 0: keep those that are$"),
        ([0, 1000], r"^tokens must be in \[0, \d+\), got 0 to 1000: keep those that are$"),
        ([[0, 1]], r"^tokens must be one row of integers, got shape \(1, 2\) of int64: decode a row$"),
        (3, r"^tokens must be one row of integers, got shape \(\) of int64: decode a row$"),
        ([0.0], r"^tokens must be one row of integers, got shape \(1,\) of float64: decode a row$"),
    ],
)
def test_what_is_no_row_of_tokens_has_no_text(tokenizer: Tokenizer, tokens: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tokenizer.decode(tokens)


@each_tokenizer
def test_tokens_end_below_the_size(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([tokenizer.size - 1])
    with pytest.raises(ValueError, match=rf"^tokens must be in \[0, {tokenizer.size}\), got {tokenizer.size} to "):
        tokenizer.decode([tokenizer.size])


def test_no_tokens_are_the_empty_text() -> None:
    assert TOKENIZERS["pairs"].decode([]) == ""


def test_half_a_character_is_shown_by_a_mark() -> None:
    assert TOKENIZERS["bytes"].decode([*"é".encode()[:1], *b"a"]) == "\ufffda"


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        TOKENIZERS["bytes"].encode("a\ud83d")


# --- characters -------------------------------------------------------------------------------------------------------


def test_characters_are_numbered_in_the_order_of_unicode() -> None:
    assert CharacterTokenizer("cab").vocabulary == ("a", "b", "c")


def test_an_alphabet_learned_from_a_text_is_its_characters() -> None:
    assert CharacterTokenizer.of("banana").vocabulary == CharacterTokenizer("abn").vocabulary


@pytest.mark.parametrize("alphabet", ["", "banana"])
def test_an_alphabet_holds_every_character_once(alphabet: str) -> None:
    with pytest.raises(ValueError, match=rf"^alphabet must hold every character once, got '{alphabet}': use "):
        CharacterTokenizer(alphabet)


def test_a_character_that_the_alphabet_lacks_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"^text must keep to the alphabet's 3 characters, got '🙂': learn the alphabet"
    ):
        CharacterTokenizer("abc").encode("ab🙂c")


# --- words ------------------------------------------------------------------------------------------------------------


@LAWS
@given(written=ANY_TEXT)
def test_the_words_of_a_text_are_the_whole_text(written: str) -> None:
    assert "".join(words_of(written)) == written


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("It's we'll DON'T", ["It", "'s", " we", "'ll", " DON", "'", "T"]),
        ("in 1,000 days", ["in", " 1", ",", "000", " days"]),
        ("snake_case a1b2", ["snake", "_", "case", " a", "1", "b", "2"]),
        ("a  b", ["a", " ", " b"]),
        ("a\n\n    b \n", ["a", "\n\n   ", " b", " \n"]),
        ("a\n\nb\tc", ["a", "\n", "\n", "b", "\t", "c"]),
        ("x=(y+1)!!", ["x", "=(", "y", "+", "1", ")!!"]),
        ("les élèves, 最好 🙂🙂", ["les", " élèves", ",", " 最好", " 🙂🙂"]),
    ],
)
def test_text_is_cut_where_its_kind_changes(written: str, words: list[str]) -> None:
    assert words_of(written) == words


@LAWS
@given(written=ANY_TEXT)
def test_a_text_is_encoded_word_by_word(written: str) -> None:
    tokenizer = TOKENIZERS["pairs"]
    assert tokenizer.encode(written).tolist() == [t for word in words_of(written) for t in tokenizer.encode(word)]


def test_no_token_reaches_into_the_next_word() -> None:
    learned = BytePairTokenizer.train("a b " * 50, 257).vocabulary[256:]
    assert learned == (b" b",)  # "b " is as frequent, and before it in the order of bytes comes "a "


# --- byte pairs -------------------------------------------------------------------------------------------------------


def join(pieces: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    """The pieces after one merge, found by looking everywhere for the pair."""
    i = 0
    while i < len(pieces) - 1:
        if (pieces[i], pieces[i + 1]) == pair:
            pieces = [*pieces[:i], pieces[i] + pieces[i + 1], *pieces[i + 2 :]]
        i += 1
    return pieces


def learned_plainly(written: str) -> list[tuple[bytes, bytes]]:
    """All merges that a text has, each found by counting everything anew."""
    words = [[bytes([byte]) for byte in word.encode()] for word in words_of(written)]
    merges = []
    while counts := Counter(pair for word in words for pair in pairwise(word)):
        merges.append(min(counts, key=lambda pair: (-counts[pair], pair)))
        words = [join(word, merges[-1]) for word in words]
    return merges


REPETITIVE = st.text("aab c", max_size=60)  # a small alphabet has many ties, and runs such as aaa


@LAWS
@given(written=REPETITIVE | st.text(max_size=20))
def test_training_finds_what_counting_anew_each_time_finds(written: str) -> None:
    merges = learned_plainly(written)
    learned = BytePairTokenizer.train(written, 256 + len(merges)).vocabulary[256:]
    assert learned == tuple(first + second for first, second in merges)


@LAWS
@given(read=REPETITIVE, written=REPETITIVE)
def test_encoding_is_to_do_the_merges_in_the_order_they_were_learned(read: str, written: str) -> None:
    merges = learned_plainly(read)[:8]
    tokenizer = BytePairTokenizer.train(read, 256 + len(merges))
    pieces = []
    for word in words_of(written):
        parts = [bytes([byte]) for byte in word.encode()]
        for merge in merges:
            parts = join(parts, merge)
        pieces += parts
    assert [tokenizer.vocabulary[token] for token in tokenizer.encode(written)] == pieces


def test_a_smaller_vocabulary_is_the_beginning_of_a_larger_one() -> None:
    assert BytePairTokenizer.train(PROSE, 280).vocabulary == TOKENIZERS["pairs"].vocabulary[:280]


def test_every_merge_shortens_the_text_it_was_learned_from() -> None:
    lengths = [len(BytePairTokenizer.train(PROSE, size).encode(PROSE)) for size in range(256, 330, 5)]
    assert lengths == sorted(set(lengths), reverse=True)


def test_the_order_of_the_words_changes_nothing() -> None:
    words = [" " + word for word in PROSE.split() if word.isalpha()]
    forwards, backwards = (BytePairTokenizer.train("".join(each), 300) for each in (words, reversed(words)))
    assert forwards.vocabulary == backwards.vocabulary


def test_no_process_learns_otherwise_than_another() -> None:
    program = f"from tinygpt.text import *; print(BytePairTokenizer.train({PROSE!r}, 330).vocabulary)"
    run = [sys.executable, "-c", program]
    seeds = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    found = {subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout for env in seeds}
    assert found == {f"{TOKENIZERS['pairs'].vocabulary}\n"}


def test_a_word_may_be_long() -> None:
    tokenizer = BytePairTokenizer.train("a" * 128, 256 + 7)  # a, aa, aaaa, …, to 128
    assert set(tokenizer.encode("a" * 128_000).tolist()) == {262}


def test_a_vocabulary_holds_the_bytes_at_least() -> None:
    with pytest.raises(ValueError, match=r"^size must be >= 256, for every byte is a token, got 255$"):
        BytePairTokenizer.train(PROSE, 255)


def test_a_short_text_has_only_so_many_merges() -> None:
    with pytest.raises(ValueError, match=r"^size must be <= 259 for this text, got 260: train on a longer one$"):
        BytePairTokenizer.train("abc abc", 260)


@pytest.mark.parametrize(
    ("vocabulary", "found"),
    [(text._BYTES[1:], "255 pieces, of them 255"), ([*text._BYTES, b"a"], "257 pieces, of them 256")],
    ids=["a byte is missing", "one is there twice"],
)
def test_a_vocabulary_lacks_no_byte_and_repeats_nothing(vocabulary: list[bytes], found: str) -> None:
    with pytest.raises(ValueError, match=f"^vocabulary must hold all 256 bytes and no piece twice, got {found} differ"):
        BytePairTokenizer(vocabulary)


# --- GPT-2's files ----------------------------------------------------------------------------------------------------

# Where GPT-2's vocabulary has them (https://huggingface.co/openai-community/gpt2): the bytes that print come first.
GPT2_NUMBERS = {"!": 0, "t": 83, "~": 93, "\x00": 188, "\n": 198, " ": 220, "\x7f": 221}
MERGES = ["Ġ t", "h e", "Ġt he", "Ã ©"]


def gpt2_files(
    folder: Path, merges: list[str], extra: tuple[str, ...] = ("<|endoftext|>",), newline: str = "\n"
) -> Path:
    """A small vocab.json and merges.txt, as the transformers library writes them."""
    shown = [chr(byte) for byte in (*range(33, 127), *range(161, 173), *range(174, 256))]
    hidden = [chr(256 + n) for n in range(256 - len(shown))]
    pieces = [*shown, *hidden, *(merge.replace(" ", "") for merge in MERGES), *extra]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(numbers, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_bytes(newline.join(["#version: 0.2", *merges, ""]).encode())
    return folder


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_gpt2s_files_make_its_tokenizer(tmp_path: Path, newline: str) -> None:
    tokenizer = BytePairTokenizer.from_gpt2(gpt2_files(tmp_path, MERGES, newline=newline))
    assert tokenizer.vocabulary[256:] == (b" t", b"he", b" the", "é".encode(), b"<|endoftext|>")
    assert tokenizer.encode("the the\né").tolist() == [83, 257, 258, 198, 259]


def test_gpt2s_bytes_have_the_numbers_that_they_have_there(tmp_path: Path) -> None:
    tokenizer = BytePairTokenizer.from_gpt2(gpt2_files(tmp_path, MERGES))
    assert {character: tokenizer.encode(character).item() for character in GPT2_NUMBERS} == GPT2_NUMBERS


def test_gpt2s_end_of_text_can_be_read_but_is_not_written(tmp_path: Path) -> None:
    tokenizer = BytePairTokenizer.from_gpt2(gpt2_files(tmp_path, MERGES))
    assert tokenizer.decode([tokenizer.size - 1]) == "<|endoftext|>"
    assert tokenizer.size - 1 not in tokenizer.encode("<|endoftext|>")


def test_gpt2s_files_may_leave_the_end_of_text_away(tmp_path: Path) -> None:
    assert BytePairTokenizer.from_gpt2(gpt2_files(tmp_path, MERGES, extra=())).size == 256 + len(MERGES)


@pytest.mark.parametrize(
    ("merges", "extra"),
    [(MERGES[:-1], ()), (MERGES[::-1], ()), ([*MERGES, "x y"], ()), (MERGES, ("PAD",))],
    ids=["fewer", "in another order", "more", "a token from nowhere"],
)
def test_gpt2s_files_must_agree(tmp_path: Path, merges: list[str], extra: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r" must hold GPT-2's vocab\.json and merges\.txt, but .*: take both from "):
        BytePairTokenizer.from_gpt2(gpt2_files(tmp_path, merges, extra))


# --- saved tokenizers -------------------------------------------------------------------------------------------------


def assert_comes_back(tokenizer: Tokenizer, file: Path) -> None:
    tokenizer.save(file)
    loaded = load_tokenizer(file)
    assert (type(loaded), loaded.vocabulary) == (type(tokenizer), tokenizer.vocabulary)


@each_tokenizer
def test_a_tokenizer_comes_back_from_its_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert_comes_back(tokenizer, tmp_path / "tokenizer.json")


@LAWS
@given(alphabet=st.sets(st.characters(), min_size=1))
def test_any_alphabet_comes_back_from_its_file(alphabet: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert_comes_back(CharacterTokenizer("".join(alphabet)), Path(folder) / "tokenizer.json")


def test_a_damaged_tokenizer_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    TOKENIZERS["pairs"].save(file)
    whole = file.read_bytes()
    for place in range(0, len(whole) - 1, 97):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"^tokenizer\.json must be a whole tinygpt checkpoint"):
            load_tokenizer(file)


@pytest.mark.parametrize(
    "content",
    [[], {"kind": "optimizer state"}, {"kind": "CharacterTokenizer"}, {"kind": "Exception", "vocabulary": ["a"]}],
)
def test_a_checkpoint_of_something_else_is_no_tokenizer(content: Any, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "other.json", content)
    with pytest.raises(ValueError, match=r"^other\.json must hold a tokenizer, but it holds something else: pick "):
        load_tokenizer(tmp_path / "other.json")


@pytest.mark.parametrize("kind", ["CharacterTokenizer", "BytePairTokenizer"])
@pytest.mark.parametrize("vocabulary", [[], [1], ["a", "a"], ["\u0100", None]])
def test_a_tokenizer_with_an_impossible_vocabulary_is_refused(kind: str, vocabulary: Any, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "odd.json", {"kind": kind, "vocabulary": vocabulary})
    with pytest.raises(ValueError, match=r"^odd\.json must be as save writes it, but .*: save it again$"):
        load_tokenizer(tmp_path / "odd.json")


# --- all sources ------------------------------------------------------------------------------------------------------

TASKS: dict[str, Task] = {
    "addition": Addition(),
    "addition of one digit": Addition(1),
    "addition of nine": Addition(9),
    "addition as we write it": Addition(reverse=False),
    "sorting": Sorting(),
    "sorting one bit": Sorting(1, 2),
    "sorting letters": Sorting(3, 36),
    "sorting many": Sorting(18),
}
SMALL = ["addition", "addition of one digit", "addition as we write it", "sorting one bit", "sorting letters"]
SOURCES: dict[str, Source] = {**TASKS, "passages": Passages(TOKENIZERS["pairs"].encode(PROSE), 7, TOKENIZERS["pairs"])}

each_source = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
each_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
each_small_task = pytest.mark.parametrize("task", [TASKS[name] for name in SMALL], ids=SMALL)


def test_every_kind_of_task_is_tested() -> None:
    assert {type(task) for task in TASKS.values()} == set(Task.__subclasses__())


@each_source
def test_a_batch_is_two_arrays_of_int64(source: Source) -> None:
    inputs, targets = source.sample(5, np.random.default_rng(0))
    assert (inputs.shape, inputs.dtype) == (targets.shape, targets.dtype) == ((5, source.length), np.int64)


@each_source
def test_the_target_of_a_token_is_the_next_one_or_ignored(source: Source) -> None:
    inputs, targets = source.sample(50, np.random.default_rng(0))
    assert np.all((targets[:, :-1] == inputs[:, 1:]) | (targets[:, :-1] == IGNORED))


@each_source
def test_the_state_of_the_generator_is_the_place_in_the_data(source: Source) -> None:
    rng, again = np.random.default_rng(1), np.random.default_rng(2)
    source.sample(3, rng)
    again.bit_generator.state = rng.bit_generator.state
    source.sample(4, np.random.default_rng(3))
    for _ in range(2):
        assert [a.tolist() for a in source.sample(5, rng)] == [a.tolist() for a in source.sample(5, again)]


@each_source
def test_two_batches_differ(source: Source) -> None:
    rng = np.random.default_rng(0)
    one, two = source.sample(200, rng)[0], source.sample(200, rng)[0]
    assert not np.array_equal(one, two) or source is TASKS["sorting one bit"]


@each_source
def test_a_batch_may_be_written_and_the_next_is_the_same(source: Source) -> None:
    first = [array.copy() for array in source.sample(9, np.random.default_rng(0))]
    for array in source.sample(9, np.random.default_rng(0)):
        array[...] = 0
    assert all(map(np.array_equal, source.sample(9, np.random.default_rng(0)), first))


@each_source
def test_a_batch_may_be_empty(source: Source) -> None:
    assert source.sample(0, np.random.default_rng(0))[0].shape == (0, source.length)


# --- passages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int64, np.uint16])
def test_every_passage_of_a_text_is_drawn_and_nothing_else(dtype: Any) -> None:
    inputs, targets = Passages(np.arange(10, dtype=dtype), 4).sample(200, np.random.default_rng(0))
    assert np.unique(inputs, axis=0).tolist() == [list(range(start, start + 4)) for start in range(6)]
    assert np.array_equal(targets, inputs + 1)
    assert (inputs.dtype, targets.dtype) == (np.int64, np.int64)


def test_a_passage_may_be_all_but_the_last_token() -> None:
    inputs, targets = Passages([5, 6, 7], 2).sample(1, np.random.default_rng(0))
    assert (inputs.tolist(), targets.tolist()) == ([[5, 6]], [[6, 7]])


@pytest.mark.parametrize("length", [0, 3, 4])
def test_a_passage_is_shorter_than_its_text(length: int) -> None:
    with pytest.raises(ValueError, match=f"^length must be >= 1 and < the 3 tokens, got {length}: take a longer text$"):
        Passages([5, 6, 7], length)


@pytest.mark.parametrize("tokens", [[[1, 2], [3, 4]], [1.0, 2.0], "text"])
def test_passages_are_of_one_row_of_tokens(tokens: Any) -> None:
    with pytest.raises(ValueError, match=r"^tokens must be one row of integers, got shape .*: see Tokenizer\.encode$"):
        Passages(tokens, 1)


@LAWS
@given(written=st.text())
def test_the_two_parts_of_a_text_are_the_text(written: str) -> None:
    training, validation = split(written)
    assert (training + validation, len(validation)) == (written, len(written) // 10)


def test_tokens_are_split_as_text_is() -> None:
    assert [part.tolist() for part in split(np.arange(20))] == [list(range(18)), [18, 19]]


# --- tasks ------------------------------------------------------------------------------------------------------------


class Everything(np.random.Generator):
    """A generator that draws each number once, in order."""

    def integers(self, high: int, size: int) -> Any:  # type: ignore[override]
        assert size == high
        return np.arange(high)


def trained_on(task: Task) -> list[str]:
    """Every problem that a sample can hold."""
    count = task.problems - len(task.held_out)
    inputs, targets = task.sample(count, Everything(np.random.PCG64()))
    return [task.tokenizer.decode(row) for row in np.hstack([inputs, targets[:, -1:]])]


def examined_on(task: Task, count: int = 10**6, seed: int = 0) -> list[str]:
    return [task.tokenizer.decode(row) for row in np.hstack(task.examination(count, np.random.default_rng(seed)))]


@each_small_task
def test_every_problem_is_either_trained_on_or_held_out(task: Task) -> None:
    every = ["".join(task.write(problem)) for problem in range(task.problems)]
    assert sorted([*trained_on(task), *examined_on(task)]) == sorted(every)


@each_task
def test_nothing_held_out_is_drawn_in_training(task: Task) -> None:
    inputs, targets = task.sample(2000, np.random.default_rng(0))
    drawn = {task.tokenizer.decode(row) for row in np.hstack([inputs, targets[:, -1:]])}
    assert drawn & set(examined_on(task)) == set()


@each_task
def test_about_a_tenth_is_held_out_and_at_most_so_many(task: Task) -> None:
    most = max(1, min(task.problems // 10, task.MOST_HELD_OUT))
    assert 0.9 * most <= len(task.held_out) <= most  # the draws of the smaller tasks have some problems twice


def test_what_is_held_out_stays_so_for_ever() -> None:
    # a model that was saved long ago must not be examined on what it was trained on
    found = {name: TASKS[name].held_out[:4].tolist() for name in ("addition", "sorting", "addition of nine")}
    assert found == {
        "addition": [5, 32, 60, 65],
        "sorting": [1834, 3811, 5059, 8016],
        "addition of nine": [290653028197788, 851727673526603, 1060347298118627, 1705696638701633],
    }


@each_task
def test_all_problems_of_a_task_are_equally_long(task: Task) -> None:
    problems = np.random.default_rng(0).integers(task.problems, size=100).tolist()
    lengths = {tuple(map(len, task.write(problem))) for problem in [0, *problems, task.problems - 1]}
    assert lengths == {(task.prompt_length, task.answer_length)}


@each_task
def test_only_the_answer_counts(task: Task) -> None:
    _, targets = task.sample(50, np.random.default_rng(0))
    question, answer = slice(task.prompt_length - 1), slice(task.prompt_length - 1, None)
    assert np.all(targets[:, question] == IGNORED)
    assert np.all(targets[:, answer] >= 0)
    assert targets[:, answer].shape == (50, task.answer_length)


@pytest.mark.parametrize("digits", [1, 2, 5])
@pytest.mark.parametrize("reverse", [True, False])
def test_the_sum_is_right(digits: int, reverse: bool) -> None:
    for example in examined_on(Addition(digits, reverse)):
        question, total = example.rstrip(";").split("=")
        a, b = map(int, question.split("+"))
        assert int(total[::-1] if reverse else total) == a + b


def test_a_sum_is_written_with_its_last_digit_first() -> None:
    assert Addition(2).write(2785) == ("27+85=", "211;")


def test_a_sum_may_be_written_as_we_do() -> None:
    assert Addition(2, reverse=False).write(2705) == ("27+05=", "032;")


def test_the_sorted_symbols_are_right() -> None:
    for example in examined_on(Sorting(5, 16)):
        question, answer = example.split(">")
        assert answer == "".join(sorted(question))


def test_symbols_beyond_nine_are_letters() -> None:
    assert Sorting(3, 36).write(36**3 - 36) == ("ZZ0>", "0ZZ")


@each_small_task
def test_an_examination_asks_nothing_twice(task: Task) -> None:
    every = examined_on(task)
    assert len(set(every)) == len(every) == len(task.held_out)


def test_an_examination_is_as_long_as_asked_for() -> None:
    prompts, answers = Addition().examination(7, np.random.default_rng(0))
    assert (prompts.shape, answers.shape) == ((7, 6), (7, 4))


def test_another_generator_asks_something_else() -> None:
    assert examined_on(Addition(), 7, seed=0) != examined_on(Addition(), 7, seed=1)


class Pupil:
    """A model that knows the answers, but for one place of those whose prompt has this sum of tokens, modulo 2."""

    def __init__(self, task: Task, fails: tuple[int, ...] = (), place: int = 0) -> None:
        self.task, self.fails, self.place = task, fails, place
        self.asked: list[list[int]] = []

    def generate(self, prompts: np.ndarray, length: int, temperature: float) -> np.ndarray:
        assert temperature == 0
        known = {tuple(p): a for p, a in zip(*self.task.examination(10**6, np.random.default_rng(9)), strict=True)}
        answers = np.array([known[tuple(prompt)] for prompt in prompts])
        answers[np.isin(prompts.sum(axis=1) % 2, self.fails), self.place] += 1
        self.asked += prompts.tolist()
        return np.hstack([prompts, answers[:, :length]])


@each_small_task
def test_who_knows_every_answer_has_an_accuracy_of_one(task: Task) -> None:
    assert task.accuracy(Pupil(task)) == 1.0


@pytest.mark.parametrize("place", [0, -1])
def test_an_answer_is_wrong_when_one_token_is(place: int) -> None:
    assert Addition().accuracy(Pupil(Addition(), fails=(0, 1), place=place)) == 0.0


def test_the_accuracy_is_the_share_of_right_answers() -> None:
    prompts, _ = Addition().examination(50, np.random.default_rng(4))
    share = float(np.mean(prompts.sum(axis=1) % 2 == 1))
    assert Addition().accuracy(Pupil(Addition(), fails=(0,)), 50, np.random.default_rng(4)) == share


def test_as_many_are_asked_as_wanted() -> None:
    pupil = Pupil(Addition())
    Addition().accuracy(pupil, count=30)
    assert len(pupil.asked) == 30


def test_without_a_generator_the_examination_is_always_the_same() -> None:
    pupils = [Pupil(Addition()) for _ in range(2)]
    for pupil in pupils:
        Addition().accuracy(pupil)
    assert pupils[0].asked == pupils[1].asked


@pytest.mark.parametrize("digits", [0, 10])
def test_addition_is_of_one_to_nine_digits(digits: int) -> None:
    with pytest.raises(ValueError, match=rf"^digits must be in \[1, 9\], got {digits}$"):
        Addition(digits)


@pytest.mark.parametrize(("count", "symbols"), [(0, 10), (6, 1), (6, 37)])
def test_sorting_needs_something_to_sort(count: int, symbols: int) -> None:
    with pytest.raises(
        ValueError, match=r"^count must be >= 1 and symbols in \[2, 36\], got count=\d+ and symbols=\d+$"
    ):
        Sorting(count, symbols)


def test_a_task_has_no_more_problems_than_can_be_counted() -> None:
    with pytest.raises(
        ValueError, match=r"^a task must have 2 to 2\*\*63 - 1 problems, got 10{19}: make them longer or"
    ):
        Sorting(19)


# --- imports ----------------------------------------------------------------------------------------------------------


def test_text_is_imported_only_by_who_asks_for_it_and_is_cheap() -> None:
    heavy = "{'tinygpt.text', 'tinygpt.corpora', 'urllib.request', 'http.client', 'pydoc_data'}"
    program = (
        f"import sys, tinygpt; print(*{heavy} & set(sys.modules));"
        f"import tinygpt.text, tinygpt.corpora; print(*sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["", "tinygpt.corpora tinygpt.text", ""]
