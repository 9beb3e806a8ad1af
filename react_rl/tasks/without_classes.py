"""What tasks share whose rows have no classes: all answers are of one kind, and no class is confused."""

from __future__ import annotations

from typing import ClassVar, Final

from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.tasks.noise import check_noise
from react_rl.tasks.protocol import AnnotatorSettings


class WithoutClasses:
    """The part of a task that follows from rows having no classes."""

    has_classes: Final = False
    errors: ClassVar[str]
    """What annotators do wrong, behind "is of"."""
    no_subsets: ClassVar[str]
    """Why episodes have no subset of classes, behind "is of"."""

    def check(self, corpus: Corpus, settings: AnnotatorSettings) -> None:
        """Check that no confusion or subset of classes is asked for.

        Raises:
            ReActError: One is.
        """
        check_noise(corpus, settings)
        for given, why, cure in (
            (settings.confusion, self.errors, "leave 'confusion' out and set label_noise"),
            (settings.classes, self.no_subsets, "leave 'classes' out"),
        ):
            if given is not None:
                raise ReActError(f"Corpus {corpus.name!r} is of {why}; {cure}.")

    def kinds(self, targets: Tensor) -> Tensor:
        """All answers are of one kind: 0, or -1 where there is none."""
        return targets[..., 0].clamp(max=0)

    def n_kinds(self, most_classes: int) -> int:
        """One."""
        return 1
