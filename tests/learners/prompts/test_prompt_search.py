"""Templates are ranked by labelled rows, words are found in them, and a trace holds every stage."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from react_rl.errors import ReActError
from react_rl.learners.prompts.reading import GapReader
from react_rl.learners.prompts.search import rank_templates, suggest_words
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.prompts.trace import trace

TEXTS = ("the film was good", "a very bad plot", "great great film", "bad bad bad")
NAMES = ("negative", "good")


def test_templates_are_ordered_by_the_loss_of_the_labelled_rows(prompting: PromptSettings) -> None:
    candidates = ("{text} it was {mask} .", "{mask} film {text}", "a {mask} plot . {text}")
    # Labels that one template gives: then it is the best.
    wanted = prompting.model_copy(update={"templates": candidates[1:2]})
    said = trace(wanted, TEXTS, NAMES)
    classes = [NAMES.index(one.prediction) for one in said]
    found = rank_templates(prompting, TEXTS, classes, NAMES, candidates)
    assert [one.log_loss for one in found] == sorted(one.log_loss for one in found)
    by_template = {one.template: one for one in found}
    assert by_template[candidates[1]].accuracy == 1.0
    scores = torch.tensor([[one.adjusted[name] for name in NAMES] for one in said])
    loss = torch.nn.functional.cross_entropy(scores, torch.tensor(classes))
    assert by_template[candidates[1]].log_loss == pytest.approx(float(loss), rel=1e-4)


def test_a_word_is_worth_what_its_class_expects_more_than_the_others(prompting: PromptSettings) -> None:
    classes = np.array([1, 0, 1, 0])
    found = suggest_words(prompting, TEXTS, classes, NAMES, count=1)
    reader = GapReader(prompting)
    said = torch.log_softmax(reader.head.scores(torch.from_numpy(reader.vectors(TEXTS))), 1)
    for name, c in (("negative", 0), ("good", 1)):
        own, other = (
            said[torch.from_numpy(classes == c)].mean(0),
            said[torch.from_numpy(classes != c)].mean(0),
        )
        vocabulary = reader.tokenizer.get_vocab()
        words = {w: i for w, i in vocabulary.items() if w.isalpha() and len(w) >= 3}
        middle = sorted(float(own[i]) for i in words.values())[(len(words) - 1) // 2]
        likely = {w: i for w, i in words.items() if float(own[i]) >= middle - 1e-6}
        best = max(likely, key=lambda word: float(own[likely[word]] - other[likely[word]]))
        assert found[name] == (best,)


def test_a_search_without_labelled_rows_is_refused(prompting: PromptSettings) -> None:
    for texts, classes in (((), ()), (TEXTS, (0, 1))):
        with pytest.raises(ReActError, match="A search needs labelled rows"):
            rank_templates(prompting, texts, classes, NAMES)
        with pytest.raises(ReActError, match="A search needs labelled rows"):
            suggest_words(prompting, texts, classes, NAMES)


def test_a_trace_holds_what_each_stage_gave(prompting: PromptSettings) -> None:
    one, *_ = trace(prompting, TEXTS, NAMES, expected=3)
    assert one.filled == ("[CLS] the film was good it was [MASK] . [SEP]",)
    assert len(one.expected) == 3
    assert one.expected[0][1] >= one.expected[1][1] > 0
    assert one.prediction == max(one.adjusted, key=lambda name: one.adjusted[name])
    plain = trace(prompting.model_copy(update={"calibration": "none", "strength": None}), TEXTS, NAMES)[0]
    assert plain.adjusted == pytest.approx(plain.said)
    assert json.loads(json.dumps(one.as_dict()))["prediction"] == one.prediction
