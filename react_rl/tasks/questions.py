"""Extractive question answering: a target is the first and the last word of the answer in the context.

Words count from 1; 0 and 0 say that there is no answer. Scores are of the borders: how likely each word is
the first one of the answer, and how likely the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.data.passages import LONGEST_ANSWER, NO_ANSWER, Passages
from react_rl.errors import ReActError
from react_rl.metrics.classification import Metric
from react_rl.metrics.question_answering import ANSWER_METRICS
from react_rl.tasks.heads import FAINT, NEVER, SpanHead
from react_rl.tasks.noise import error_rates
from react_rl.tasks.protocol import Annotator, AnnotatorSettings, Ids, Level, ScoredVectors
from react_rl.tasks.without_classes import WithoutClasses


@dataclass(frozen=True, eq=False)
class SpanScores:
    """Scores of the borders of answers to the questions of n columns.

    Args:
        start: ``(E, n, L + 1)`` float32, that the answer begins at each word; place 0 is "no answer". Places
            behind the last word, and "no answer" where every question has one, hold ``NEVER``.
        end: As many, that it ends there.
        rows: ``(E, n)`` row ids, -1 where there is none.
        passages: What the questions of each episode are about, E of them.
    """

    start: Tensor
    end: Tensor
    rows: Ids
    passages: Sequence[Passages]


@dataclass(frozen=True, eq=False)
class _Spans:
    """The best spans of E x n questions, ``(E, n)`` each.

    Args:
        first: First word, from 1.
        last: Last word.
        score: Log-probability.
        second: Log-probability of the best other span.
        none: Log-probability of "no answer".
    """

    first: Tensor
    last: Tensor
    score: Tensor
    second: Tensor
    none: Tensor


def _best_spans(start: Tensor, end: Tensor) -> _Spans:
    """Best spans of at most ``LONGEST_ANSWER`` words from log-probabilities ``(E, n, L + 1)``."""
    begin, finish = start[:, :, 1:], end[:, :, 1:]
    window = min(LONGEST_ANSWER, begin.shape[2])
    total = _largest_before(begin, window) + finish
    best, last = total.topk(min(2, total.shape[2]), dim=2)
    other = best[..., 1] if best.shape[2] > 1 else torch.full_like(best[..., 0], 2 * NEVER)
    last = last[..., :1]
    # The best other span ends elsewhere, or ends there and begins at the second best place.
    padded = torch.nn.functional.pad(begin, (window - 1, 0), value=2 * NEVER)
    along = padded.gather(2, last + torch.arange(window, device=start.device))
    if window > 1:
        same_end = along.topk(2, dim=2).values[..., 1] + finish.gather(2, last)[..., 0]
        other = torch.maximum(other, same_end)
    first = last[..., 0] + along.max(2).indices - (window - 1)
    return _Spans(first + 1, last[..., 0] + 1, best[..., 0], other, start[..., 0] + end[..., 0])


def _largest_before(values: Tensor, window: int) -> Tensor:
    """Largest of each value ``(E, n, L)`` and the ``window - 1`` before it.

    Windows are put together from two of half the width, so six passes do for one of forty.
    """
    width = 1
    while width < window:
        shift = min(width, window - width)
        wider = values.clone()
        torch.maximum(values[:, :, shift:], values[:, :, :-shift], out=wider[:, :, shift:])
        values, width = wider, width + shift
    return values


class SpanSignals:
    """What scores of borders say of P questions, as if start and end were chosen independently.

    Every value is ``(E, P)`` float32, equal for equal rows.

    Args:
        scores: Of the borders.
        level: Makes values of equal rows equal.
        width: P.
    """

    def __init__(self, scores: SpanScores, level: Level, width: int) -> None:
        self._scores, self._level, self._width = scores, level, width

    @cached_property
    def _log_probabilities(self) -> tuple[Tensor, Tensor]:
        """Of start and end ``(E, P, L + 1)``."""
        start, end = (side[:, : self._width] for side in (self._scores.start, self._scores.end))
        return torch.log_softmax(start, 2), torch.log_softmax(end, 2)

    @cached_property
    def _best(self) -> _Spans:
        return _best_spans(*self._log_probabilities)

    @cached_property
    def log_probability(self) -> Tensor:
        """Log-probability of the best answer, "no answer" among them."""
        return self._level(torch.maximum(self._best.score, self._best.none))

    @cached_property
    def mean_log_probability(self) -> Tensor:
        """The same per border, of which an answer has two."""
        return self.log_probability / 2.0

    @cached_property
    def confidence(self) -> Tensor:
        """Geometric mean of the probabilities of the best answer's borders."""
        return self.mean_log_probability.exp()

    @cached_property
    def margin(self) -> Tensor:
        """Mean, over start and end, of the difference of the two largest probabilities."""
        gaps = []
        for side in self._log_probabilities:
            best = side.topk(2, dim=2).values.exp()
            gaps.append(best[..., 0] - best[..., 1])
        return self._level((gaps[0] + gaps[1]) / 2.0)

    @cached_property
    def span_margin(self) -> Tensor:
        """Probability of the best answer minus that of the second best one."""
        spans = self._best
        three = torch.stack([spans.score, spans.second, spans.none], 2).topk(2, dim=2).values.exp()
        return self._level(three[..., 0] - three[..., 1])

    @cached_property
    def entropy(self) -> Tensor:
        """Mean entropy of start and end in nats."""
        sides = [side.clamp_min(FAINT) for side in self._log_probabilities]
        start, end = (-(side.exp() * side).sum(2) for side in sides)
        return self._level((start + end) / 2.0)

    @cached_property
    def span_entropy(self) -> Tensor:
        """Entropy in nats of the answers that can be given: spans in order and not too long, or none.

        Their probabilities, products of those of their borders, are scaled to sum to one.
        """
        start, end = (side.clamp_min(FAINT).double() for side in self._log_probabilities)
        p, q = start.exp(), end.exp()
        p_log, q_log = p * start, q * end

        def before(values: Tensor) -> Tensor:
            """Sum of the values of the words at which a span that ends at each word may begin."""
            sums = torch.nn.functional.pad(values[:, :, 1:].cumsum(2), (LONGEST_ANSWER + 1, 0))
            return sums[:, :, LONGEST_ANSWER + 1 :] - sums[:, :, 1 : values.shape[2]]

        here, logs = before(p), before(p_log)
        total = (here * q[:, :, 1:]).sum(2) + p[:, :, 0] * q[:, :, 0]
        weighted = (logs * q[:, :, 1:] + here * q_log[:, :, 1:]).sum(2)
        weighted = weighted + p_log[:, :, 0] * q[:, :, 0] + p[:, :, 0] * q_log[:, :, 0]
        total = total.clamp_min(1e-300)
        return self._level((total.log() - weighted / total).float())

    @cached_property
    def no_answer_doubt(self) -> Tensor:
        """How near "no answer" and the best span are to each other: minus the gap of their log-probabilities.

        Raises:
            ReActError: Every question of a corpus has an answer.
        """
        if not all(passages.has_unanswerable for passages in self._scores.passages):
            raise ReActError(
                "Doubt about whether there is an answer is asked for, but every question of the corpus has "
                "one; use span-margin."
            )
        return self._level(-(self._best.score - self._best.none).abs())

    @cached_property
    def contexts(self) -> Tensor:
        """A number for the context of each question ``(E, P)`` int64; -1 where there is no row."""
        rows = self._scores.rows[:, : self._width]
        found = np.stack(
            [
                np.where(own >= 0, about.of[own], -1)
                for own, about in zip(rows, self._scores.passages, strict=True)
            ]
        )
        return torch.from_numpy(found).to(self._scores.start.device)


@dataclass(frozen=True)
class SpanErrors:
    """An annotator who marks another span, sets a border wrong, or overlooks the answer.

    The three are equally likely. Where every question has an answer none is overlooked, and where a border
    cannot move another span is marked; in place of "no answer" some span is.

    Args:
        rate: ``(N,)`` probability of an error at each row.
        passages: What the questions are about.
    """

    rate: npt.NDArray[np.float64]
    passages: Passages

    def answer(self, rows: Ids, truth: Ids, classes: Ids, rng: np.random.Generator) -> Ids:
        """Spans ``(P, 2)`` as the annotator marks them; see ``protocol.Annotator``."""
        # As many numbers for each row, whatever becomes of it.
        drawn = rng.random((rows.size, 4))
        lengths = self.passages.lengths[rows]
        answers = truth.copy()
        for line in np.flatnonzero(drawn[:, 0] < self.rate[rows]).tolist():
            _, how, where, size = drawn[line].tolist()
            answers[line] = self._wrong(tuple(truth[line].tolist()), int(lengths[line]), how, where, size)
        return answers

    def _wrong(
        self, span: tuple[int, ...], n_words: int, how: float, where: float, size: float
    ) -> tuple[int, int]:
        first, last = span
        kind = int(how * 3) if self.passages.has_unanswerable else int(how * 2)
        if span == NO_ANSWER:
            first = 1 + int(where * n_words)
            return first, min(first + int(size * 5), n_words)
        if kind == 2:
            return NO_ANSWER
        moves = [
            (begin, end)
            for begin, end in ((first - 1, last), (first + 1, last), (first, last - 1), (first, last + 1))
            if 1 <= begin <= end <= n_words
        ]
        if kind == 1 and moves:
            return moves[int(where * len(moves))]
        length = last - first
        places = max(n_words - length, 1)
        begin = 1 + (first + int(where * (places - 1))) % places
        return begin, min(begin + length, n_words)


class QuestionAnswering(WithoutClasses):
    """The words of a context that answer a question, judged by exact match and F1."""

    name: Final = "question-answering"
    head: Final = SpanHead()
    metrics: Final[Mapping[str, Metric]] = ANSWER_METRICS
    default_metrics: Final = ("answer_f1", "exact_match")
    errors = (
        "question answering, where annotators mark another span, set a border wrong or overlook the answer"
    )
    no_subsets = "question answering and has no classes"

    def shape(self, corpora: Sequence[Corpus]) -> tuple[int, ...]:
        """First and last word."""
        return (2,)

    def strata(self, corpus: Corpus) -> Ids:
        """Questions without an answer and with one."""
        return (corpus.targets[:, 0] > 0).astype(np.int64)

    def strata_names(self, corpus: Corpus) -> tuple[str, ...]:
        """Without and with an answer."""
        return ("(no answer)", "(an answer)")

    def n_outputs(self, corpora: Sequence[Corpus], most_classes: int) -> int:
        """Two: start and end."""
        return 2

    def targets(self, corpus: Corpus, rows: Ids, classes: Ids, shape: tuple[int, ...]) -> Ids:
        """First and last words ``(n, 2)``."""
        return corpus.targets[rows]

    def written(self, corpus: Corpus, row: int, target: Ids, classes: Ids) -> str:
        """The words of the answer; "(no answer)" where that is what was said."""
        assert corpus.passages is not None, "a corpus of questions has passages"
        first, last = target.tolist()
        return "(no answer)" if first == 0 else corpus.passages.answer(row, first, last)

    def annotator(self, corpus: Corpus, embeddings: Tensor, settings: AnnotatorSettings) -> Annotator | None:
        """Who marks wrong spans; see ``SpanErrors``."""
        if settings.label_noise == 0:
            return None
        assert corpus.passages is not None, "a corpus of questions has passages"
        return SpanErrors(error_rates(corpus, settings), corpus.passages)

    def judge(
        self, names: Sequence[str], scores: SpanScores, truth: Tensor, class_mask: Tensor
    ) -> dict[str, Tensor]:
        """Metrics of the best spans; all given answers of a question count, not the target alone."""
        first, last = (side.cpu().numpy() for side in best_answers(scores))
        found = np.zeros((2, *scores.rows.shape), np.float32)
        for e, passages in enumerate(scores.passages):
            columns = np.flatnonzero(scores.rows[e] >= 0)
            spans = np.stack([scores.rows[e], first[e], last[e]], 1)[columns]
            found[:, e, columns] = np.array([passages.score(*own) for own in spans.tolist()]).reshape(-1, 2).T
        valid = (truth[..., 0] >= 0).expand(scores.rows.shape)
        exact, overlap = torch.from_numpy(found).to(truth.device)
        values = {"exact_match": exact, "answer_f1": overlap}
        return {name: ANSWER_METRICS[name].function(values[name], valid) for name in names}

    def soft_score(self, scores: SpanScores, truth: Tensor) -> Tensor:
        """Mean probability of the right answer: that of its first word times that of its last one.

        Start and end are taken as independent, as everywhere here; "no answer" is an answer. Of several given
        answers it is the one that annotators give.
        """
        spans = truth.repeat_interleave(len(scores.start) // len(truth), 0)  # (E k, n, 2)
        judged = spans[..., 0] >= 0
        sides = zip((scores.start, scores.end), spans.clamp_min(0).unbind(2), strict=True)
        logs = [torch.log_softmax(side, 2).gather(2, place[..., None])[..., 0] for side, place in sides]
        right = (logs[0] + logs[1]).exp()
        return (right * judged).sum(1) / judged.sum(1).clamp_min(1)

    def scores_of(self, logits: Tensor, vectors: ScoredVectors) -> SpanScores:
        """Scores of the borders, from log-odds of words against "no answer"; see ``heads.SpanHead``.

        Of words of one piece the first alone can begin an answer, and the last alone can end it.
        """
        episodes, n = vectors.rows.shape
        if vectors.repeated is not None:
            continued = torch.nn.functional.pad(vectors.repeated[:, 1:], (0, 1))
            inside = torch.stack([vectors.repeated, continued], 1)
            logits = logits.masked_fill(inside, NEVER)
        longest = int(vectors.place.max()) + 2 if vectors.place.numel() else 1
        found = logits.new_full((2, episodes, n + 1, longest), NEVER)
        line = torch.arange(episodes, device=logits.device)[:, None]
        found[:, line, vectors.column, vectors.place + 1] = logits.transpose(0, 1)
        about = []
        for e, corpus in enumerate(vectors.corpora):
            assert corpus.passages is not None, "a corpus of questions has passages"
            about.append(corpus.passages)
            if corpus.passages.has_unanswerable:
                real = torch.from_numpy(np.flatnonzero(vectors.rows[e] >= 0)).to(logits.device)
                found[:, e, real, 0] = 0.0
        return SpanScores(found[0, :, :n], found[1, :, :n], vectors.rows, about)

    def signals(self, scores: SpanScores, level: Level, width: int) -> SpanSignals:
        """What the scores of the borders say."""
        return SpanSignals(scores, level, width)


def best_answers(scores: SpanScores) -> tuple[Tensor, Tensor]:
    """First and last words ``(E, n)`` of the best answers; 0 where that is "no answer"."""
    spans = _best_spans(torch.log_softmax(scores.start, 2), torch.log_softmax(scores.end, 2))
    none = spans.none > spans.score
    return torch.where(none, 0, spans.first), torch.where(none, 0, spans.last)
