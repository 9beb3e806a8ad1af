"""What E running episodes began with: their draws, their random streams, and an empty notebook each."""

from __future__ import annotations

from collections.abc import Sequence

from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation.draw import Draw, draw_episode
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.notebook import Notebook
from react_rl.simulation.options import EpisodeOptions


class Draws:
    """Draws, streams and notebooks of E episodes.

    Args:
        corpora: The engine's corpora.
        options: Sizes of an episode.
        n_episodes: E.

    Attributes:
        of: Draw of each episode; None before its first one.
        streams: Named random streams of each episode.
        notebooks: What strategies have written down about each episode.
    """

    def __init__(self, corpora: Sequence[EncodedCorpus], options: EpisodeOptions, n_episodes: int) -> None:
        self._corpora, self._options = corpora, options
        self.of: list[Draw | None] = [None] * n_episodes
        self.streams = [Streams(0)] * n_episodes
        self.notebooks = [Notebook() for _ in range(n_episodes)]

    def begin(
        self,
        streams: Sequence[Streams],
        episodes: Sequence[int] | None = None,
        corpora: Sequence[int | None] | None = None,
        given: Sequence[Draw] | None = None,
    ) -> tuple[list[int], list[Draw]]:
        """Draw new episodes. Mutates.

        Args:
            streams: Named streams, one for each episode that begins.
            episodes: Positions of the episodes; None begins all.
            corpora: Position of the corpus for each of them; None draws it from the stream.
            given: What would be drawn for each of them, where it is known; None draws it.

        Returns:
            Positions in ascending order, in which learner and geometry take them, and their draws.

        Raises:
            ReActError: There are not as many streams as episodes, or they are something else.
        """
        chosen = list(range(len(self.of))) if episodes is None else list(episodes)
        if len(streams) != len(chosen) or not all(isinstance(one, Streams) for one in streams):
            kinds = ", ".join(sorted({type(one).__name__ for one in streams})) or "nothing"
            raise ReActError(
                f"{len(chosen)} episodes begin with {len(streams)} of {kinds}; give Streams(seed) for each."
            )
        order = sorted(range(len(chosen)), key=chosen.__getitem__)
        draws = []
        for i in order:
            if given is not None:
                draws.append(given[i])
                continue
            picked = None if corpora is None else corpora[i]
            draws.append(draw_episode(self._corpora, self._options, streams[i], picked))
        for i, draw in zip(order, draws, strict=True):
            self.of[chosen[i]], self.streams[chosen[i]] = draw, streams[i]
            self.notebooks[chosen[i]] = Notebook()
        return [chosen[i] for i in order], draws

    def __getitem__(self, episode: int) -> Draw:
        """Draw of an episode.

        Raises:
            ReActError: It was never reset.
        """
        draw = self.of[episode]
        if draw is None:
            raise ReActError(f"Episode {episode} was never reset; call reset first.")
        return draw
