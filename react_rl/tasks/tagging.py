"""Tagging of tokens (named entities): a target holds the IOB2 tags of a sentence, one number for each token.

Sentences differ in length, so targets are padded with -1, and scores of tokens come one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.data.sentences import entity_strata
from react_rl.metrics.classification import Metric, predicted_class
from react_rl.metrics.entities import ENTITY_METRICS, PADDING, entity_begins
from react_rl.tasks.classification import top_two
from react_rl.tasks.heads import ClassHead
from react_rl.tasks.noise import error_rates
from react_rl.tasks.protocol import Annotator, AnnotatorSettings, Ids, Level, ScoredVectors
from react_rl.tasks.without_classes import WithoutClasses

SHARPNESS: Final = 3.0
"""Factor on the logits of soft scores: a regularised tagger is less sure than it is right."""


@dataclass(frozen=True, eq=False)
class TokenScores:
    """Scores of the tokens of n columns, sentence after sentence.

    Args:
        logits: ``(E, C, T)`` float32; tags that an episode lacks near -1e30.
        column: ``(E, T)`` int64, which of the n columns a token belongs to, ascending; n where there is none.
        place: ``(E, T)`` int64, its place in the sentence.
    """

    logits: Tensor
    column: Tensor
    place: Tensor


class TokenSignals:
    """What token scores say of P sentences, as if tokens were tagged independently of each other.

    Every value is ``(E, P)`` float32, equal for equal sentences. Source of the sequence scores: Settles &
    Craven 2008; MNLP: Shen et al. 2017.

    Args:
        scores: Of the tokens.
        level: Makes values of equal rows equal.
        width: P.
    """

    def __init__(self, scores: TokenScores, level: Level, width: int) -> None:
        self._scores, self._level, self._width = scores, level, width

    @cached_property
    def _log_probabilities(self) -> Tensor:
        return torch.log_softmax(self._scores.logits, 1)

    @cached_property
    def _best(self) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the best and the second tag of each token ``(E, T)``."""
        return top_two(self._log_probabilities)

    def _sum(self, values: Tensor) -> Tensor:
        """Sum of token values ``(E, T)`` over each sentence."""
        total = values.new_zeros(values.shape[0], self._width + 1)
        return self._level(total.scatter_add_(1, self._scores.column, values)[:, :-1])

    def _largest(self, values: Tensor) -> Tensor:
        """Largest token value of each sentence, at least 0."""
        found = values.new_zeros(values.shape[0], self._width + 1)
        return self._level(found.scatter_reduce_(1, self._scores.column, values, "amax")[:, :-1])

    def mean_of(self, values: Tensor) -> Tensor:
        """Mean over each sentence of values ``(E, T)`` of tokens, in the order of the scores."""
        return self._sum(values) / self.lengths

    @cached_property
    def lengths(self) -> Tensor:
        """Tokens of each sentence; 1 at least."""
        return self._sum(torch.ones_like(self._best[0])).clamp_min(1.0)

    @cached_property
    def log_probability(self) -> Tensor:
        """Log-probability of the best tags of the whole sentence."""
        return self._sum(self._best[0])

    @cached_property
    def mean_log_probability(self) -> Tensor:
        """The same per token; the smallest is what MNLP asks for."""
        return self.log_probability / self.lengths

    @cached_property
    def confidence(self) -> Tensor:
        """Geometric mean of the tokens' largest probabilities."""
        return self.mean_log_probability.exp()

    @cached_property
    def margin(self) -> Tensor:
        """Mean difference of the two largest tag probabilities of a token."""
        first, second = self._best
        return self._sum(first.exp() - second.exp()) / self.lengths

    @cached_property
    def _token_entropy(self) -> Tensor:
        entropy: Tensor = torch.special.entr(self._log_probabilities.exp()).sum(1)
        return entropy

    @cached_property
    def entropy(self) -> Tensor:
        """Mean entropy of a token's tags in nats."""
        return self.total_entropy / self.lengths

    @cached_property
    def total_entropy(self) -> Tensor:
        """Sum of the entropies of the tokens in nats: the entropy of the sentence's tags."""
        return self._sum(self._token_entropy)

    @cached_property
    def largest_entropy(self) -> Tensor:
        """Largest entropy of a token in nats."""
        return self._largest(self._token_entropy)

    @cached_property
    def sequence_margin(self) -> Tensor:
        """Probability of the best tags of the sentence minus that of the second best ones.

        These differ in one token: the one whose two best tags are nearest to each other.
        """
        first, second = self._best
        return self.log_probability.exp() * (1.0 - self._largest((second - first).exp()))

    @cached_property
    def entities(self) -> Tensor:
        """Entities that the model finds in the sentence: tokens that begin one."""
        tags = predicted_class(self._scores.logits)
        return self._sum(entity_begins(tags, self._scores.place == 0).to(torch.float32))

    def n_best_entropy(self, n: int = 5) -> Tensor:
        """Entropy of the n best taggings of the sentence, their probabilities scaled to sum to one.

        Tokens are taken one after the other; at each one the n best beginnings go on with its n best tags,
        which is exact for tokens that are tagged independently.
        """
        scores = self._scores
        episodes, most = scores.column.shape[0], int(scores.place.max()) + 1 if scores.place.numel() else 1
        tags = min(n, self._log_probabilities.shape[1])
        best = self._log_probabilities.topk(tags, dim=1).values.transpose(1, 2)  # (E, T, k)
        # Tokens past the end of a sentence have one tag, which is certain.
        padded = best.new_full((episodes, self._width + 1, most, tags), -torch.inf)
        padded[..., 0] = 0.0
        padded[torch.arange(episodes, device=best.device)[:, None], scores.column, scores.place] = best
        beams = best.new_full((episodes, self._width + 1, n), -torch.inf)
        beams[..., 0] = 0.0
        for place in range(most):
            longer = beams[..., :, None] + padded[:, :, place, None, :]
            beams = longer.flatten(2).topk(n, dim=2).values
        probabilities = torch.softmax(beams[:, :-1], 2)
        return self._level(torch.special.entr(probabilities).sum(2))


def spans(tags: Sequence[int]) -> list[tuple[int, int, int]]:
    """Entities of one sentence: first token, last token (exclusive), type."""
    found: list[tuple[int, int, int]] = []
    for token, tag in enumerate(tags):
        kind = (tag - 1) // 2
        if tag > 0 and tag % 2 == 0 and found and found[-1][1:] == (token, kind):
            found[-1] = (found[-1][0], token + 1, kind)
        elif tag > 0:
            found.append((token, token + 1, kind))
    return found


@dataclass(frozen=True)
class EntityErrors:
    """An annotator who errs by entity: misses it, takes it for another type, or sets one border wrong.

    The three are equally likely. Where an error is not possible (one type only; no room for another border)
    the entity is missed.

    Args:
        rate: ``(N,)`` probability of an error at each entity of a row.
        n_types: Types of entities.
    """

    rate: npt.NDArray[np.float64]
    n_types: int

    def answer(self, rows: Ids, truth: Ids, classes: Ids, rng: np.random.Generator) -> Ids:
        """Tags ``(P, L)`` as the annotator sets them; see ``protocol.Annotator``."""
        answers = truth.copy()
        for line, row in enumerate(rows.tolist()):
            length = int((truth[line] != PADDING).sum())
            entities = spans(truth[line, :length].tolist())
            # As many numbers for each entity, whatever becomes of it.
            drawn = rng.random((len(entities), 3))
            for (first, last, kind), (wrong, how, which) in zip(entities, drawn.tolist(), strict=True):
                if wrong < self.rate[row]:
                    self._err(answers[line, :length], first, last, kind, int(how * 3), which)
        return answers

    def _err(self, tags: Ids, first: int, last: int, kind: int, how: int, which: float) -> None:
        """Change one entity of a sentence. Mutates ``tags``."""
        if how == 1 and self.n_types > 1:
            other = (kind + 1 + int(which * (self.n_types - 1))) % self.n_types
            tags[first] = 1 + 2 * other
            tags[first + 1 : last] = 2 + 2 * other
            return
        moves = []
        if how == 2:
            if last < tags.size and tags[last] == 0:
                moves.append((first, last + 1))
            if first > 0 and tags[first - 1] == 0:
                moves.append((first - 1, last))
            if last - first > 1:
                moves += [(first, last - 1), (first + 1, last)]
        tags[first:last] = 0
        if moves:
            begin, end = moves[int(which * len(moves))]
            tags[begin] = 1 + 2 * kind
            tags[begin + 1 : end] = 2 + 2 * kind


class Tagging(WithoutClasses):
    """A tag for each token of a sentence, judged by whole entities."""

    name: Final = "tagging"
    head: Final = ClassHead("words", stops_by_metric=True)
    metrics: Mapping[str, Metric] = ENTITY_METRICS
    default_metrics: tuple[str, ...] = ("entity_f1", "token_accuracy")
    errors = "tagging, where annotators err by entity: missed, wrong type or wrong border"
    no_subsets = "tagging, where episodes have all types"

    def shape(self, corpora: Sequence[Corpus]) -> tuple[int, ...]:
        """Tokens of the longest sentence in use."""
        return (max(len(tags) for corpus in corpora for tags in corpus.targets),)

    def strata(self, corpus: Corpus) -> Ids:
        """Sentences without entities, and those with some by their rarest type."""
        return entity_strata(corpus.targets, (corpus.n_classes - 1) // 2)

    def n_outputs(self, corpora: Sequence[Corpus], most_classes: int) -> int:
        """Tags of the corpus that has most."""
        return max(corpus.n_classes for corpus in corpora)

    def strata_names(self, corpus: Corpus) -> tuple[str, ...]:
        """Types of entities, after sentences without any."""
        return ("(no entity)", *(name[2:] for name in corpus.label_names[1::2]))

    def targets(self, corpus: Corpus, rows: Ids, classes: Ids, shape: tuple[int, ...]) -> Ids:
        """Tags ``(n, L)``, -1 behind the last token."""
        own = corpus.targets[rows]
        found = np.full((rows.size, *shape), PADDING, dtype=np.int64)
        lengths = np.array([len(tags) for tags in own], dtype=np.int64)
        found[np.arange(*shape) < lengths[:, None]] = np.concatenate([np.empty(0, np.int64), *own])
        return found

    def written(self, corpus: Corpus, row: int, target: Ids, classes: Ids) -> str:
        """The tags, separated by blanks."""
        return " ".join(corpus.label_names[tag] for tag in target.tolist() if tag >= 0)

    def annotator(self, corpus: Corpus, embeddings: Tensor, settings: AnnotatorSettings) -> Annotator | None:
        """Who errs by entity; see ``EntityErrors``."""
        if settings.label_noise == 0:
            return None
        return EntityErrors(error_rates(corpus, settings), (corpus.n_classes - 1) // 2)

    def judge(
        self, names: Sequence[str], scores: TokenScores, truth: Tensor, class_mask: Tensor
    ) -> dict[str, Tensor]:
        """Metrics of tagged tokens; an I that continues nothing begins an entity, but in the strict F1."""
        return {
            name: self.by_tokens(self.metrics[name].function, scores, truth, class_mask) for name in names
        }

    def by_tokens(
        self, function: Callable[..., Tensor], scores: TokenScores, truth: Tensor, class_mask: Tensor
    ) -> Tensor:
        """What a function of tags makes of predictions, ``(E,)``.

        Args:
            function: Takes predicted and true tags ``(E, T)``, which tokens begin a sentence, and the number
                of entity types.
            scores: A learner's scores.
            truth: As in ``judge``.
            class_mask: As in ``judge``.
        """
        whole = torch.nn.functional.pad(truth, (0, 0, 0, 1), value=PADDING).flatten(1)  # one for no column
        flat = scores.column * truth.shape[2] + scores.place
        own = whole[0][flat] if len(whole) == 1 else whole.gather(1, flat)
        predicted = predicted_class(scores.logits)
        return function(predicted, own, scores.place == 0, (class_mask.shape[1] - 1) // 2)

    def soft_score(self, scores: TokenScores, truth: Tensor) -> Tensor:
        """Mean probability of the right tag at temperature 1/3: half for entity tokens, half for the others.

        Most tokens are outside of entities, so that a plain mean praises models for saying so. What one more
        sentence adds to this score on 200 dev sentences correlates with what it adds to the F1 of entities on
        800 others by .59 on CoNLL-2003 and .46 on BC5CDR; the plain mean by .45 and .12, the F1 of the 200
        themselves by .48 and .39.
        """
        times = len(scores.logits) // len(truth)
        whole = torch.nn.functional.pad(truth, (0, 0, 0, 1), value=PADDING).flatten(1)  # one for no column
        flat = scores.column[::times] * truth.shape[2] + scores.place[::times]
        own = whole.gather(1, flat).repeat_interleave(times, 0)  # (E k, T)
        chances = torch.softmax(scores.logits * SHARPNESS, 1)
        right = chances.gather(1, own.clamp_min(0)[:, None])[:, 0]
        halves = [(right * of).sum(1) / of.sum(1).clamp_min(1) for of in (own > 0, own == 0)]
        return (halves[0] + halves[1]) / 2.0

    def scores_of(self, logits: Tensor, vectors: ScoredVectors) -> TokenScores:
        """Scores of words, sentence after sentence."""
        return TokenScores(logits, vectors.column, vectors.place)

    def signals(self, scores: TokenScores, level: Level, width: int) -> TokenSignals:
        """What the tokens' tags say."""
        return TokenSignals(scores, level, width)
