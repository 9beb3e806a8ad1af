"""The peers' side of the fine-tuning benchmark: small-text, and a plain loop around transformers.Trainer.

Runs as a script in an environment of its own and imports nothing of ours but the three modules beside it:
``python peers.py SCENE.json ... --contestant small-text --model DIR --out DIR``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING or __package__:
    from react_rl.experiments.benchmarks.finetune.protocol import Ids, PeerTraining, ProtocolError, Scene
    from react_rl.experiments.benchmarks.finetune.runs import (
        Contestant,
        Run,
        is_finished,
        lowest_margins,
        play,
        run_path,
    )
    from react_rl.experiments.benchmarks.finetune.trainer_loop import PREDICTION_BATCH, TrainerRecipe, trained
else:  # run as a script, in an environment without react_rl
    from protocol import Ids, PeerTraining, ProtocolError, Scene
    from runs import Contestant, Run, is_finished, lowest_margins, play, run_path
    from trainer_loop import PREDICTION_BATCH, TrainerRecipe, trained

PACKAGES: Final = ("torch", "transformers", "tokenizers", "accelerate", "small-text", "numpy")
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
MEMORY_FOLDER: Final = Path("/dev/shm")
"""Where small-text writes what it saves after each epoch, so that a slow disk is not held against it."""


class Parts(dict[str, float]):
    """Seconds of named steps, summed."""

    @contextmanager
    def count(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to ``name``. Mutates."""
        before = time.perf_counter()
        yield
        self[name] = self.get(name, 0.0) + time.perf_counter() - before


def adamw(model: Any, recipe: PeerTraining, steps: int, warm_up: int) -> tuple[Any, Any]:
    """Return the optimiser and the schedule that ``Trainer`` makes from the same recipe."""
    import torch
    from transformers import get_linear_schedule_with_warmup
    from transformers.trainer_pt_utils import get_parameter_names

    spared = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
    decayed = set(get_parameter_names(model, [torch.nn.LayerNorm], spared))
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in named if n in decayed], "weight_decay": recipe.weight_decay},
            {"params": [p for n, p in named if n not in decayed], "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True,
    )  # fmt: skip
    return optimizer, get_linear_schedule_with_warmup(optimizer, warm_up, steps)


class SmallText:
    """small-text's ``PoolBasedActiveLearner`` with ``BreakingTies``, trained as the recipe says.

    The recipe's optimiser and schedule go in through ``fit``, as small-text offers. small-text pads every row
    to one length; that of the scene's longest text is given, so that no row is longer than it must be. It
    insists on validation rows: it gets one row, which decides nothing. It writes the weights and the
    optimiser's state to a temporary folder after each epoch whether they are wanted or not; ``parts`` says
    how long that took.
    """

    name = "small-text"

    def __init__(self, scene: Scene, model: Path) -> None:
        import small_text
        from transformers import AutoTokenizer

        self.parts = Parts()
        self._scene, recipe, classes = scene, scene.recipe, np.arange(len(scene.classes))
        tokenizer = AutoTokenizer.from_pretrained(str(model))
        texts = scene.pool.texts + scene.test.texts
        longest = max(map(len, tokenizer(texts, truncation=True, max_length=recipe.max_length)["input_ids"]))
        self.settings = {
            "padding": f"every row to {longest} tokens",
            "predicted in a query": "the whole pool",
            "prediction batch": recipe.batch_size,
            "optimiser": "torch AdamW, fused, given to fit()",
        }

        def dataset(texts: list[str]) -> Any:
            unknown = np.full(len(texts), small_text.LABEL_UNLABELED)
            return small_text.TransformersDataset.from_arrays(
                texts, unknown, tokenizer, target_labels=classes, max_length=longest
            )

        with self.parts.count("set-up"):
            pool, self._test = dataset(scene.pool.texts), dataset(scene.test.texts)
        settings = {"device": "cpu", "num_epochs": recipe.epochs, "mini_batch_size": recipe.batch_size}
        self._learner = small_text.PoolBasedActiveLearner(
            _factory(model, len(classes), settings, recipe, self.parts), small_text.BreakingTies(), pool
        )

    def update(self, ids: Ids, targets: Ids) -> None:
        """Hand over the labels; small-text trains a fresh model."""
        _seed(self._scene, len(self._learner.indices_labeled) + len(ids))
        if self._learner.indices_queried is None:
            self._learner.initialize_data(self._scene.pool.positions(ids), targets)
        else:
            self._learner.update(targets)

    def query(self, n: int) -> Ids:
        """Ask small-text; it predicts the labelled rows of the pool too."""
        positions: Ids = self._learner.query(num_samples=n)
        return np.array(self._scene.pool.ids, dtype=np.int64)[positions]

    def predict_test(self) -> Ids:
        """Return the predicted classes of the test rows."""
        return np.asarray(self._learner.classifier.predict(self._test), dtype=np.int64)


def _factory(model: Path, classes: int, settings: dict[str, Any], recipe: PeerTraining, parts: Parts) -> Any:
    import small_text
    from small_text.integrations.transformers.classifiers.classification import TransformerBasedClassification

    class Classifier(TransformerBasedClassification):  # type: ignore[misc]
        def fit(self, train_set: Any, **_: Any) -> Any:
            self.initialize_transformer(self.cache_dir)
            steps, warm_up = recipe.steps(len(train_set)), recipe.warm_up_steps(len(train_set))
            optimizer, scheduler = adamw(self.model, recipe, steps, warm_up)
            return super().fit(
                train_set, validation_set=train_set[:1], early_stopping="none", model_selection="none",
                optimizer=optimizer, scheduler=scheduler,
            )  # fmt: skip

        def _save_model(self, *arguments: Any) -> None:
            with parts.count("saving"):
                super()._save_model(*arguments)

    class Factory(small_text.TransformerBasedClassificationFactory):  # type: ignore[misc]
        def new(self) -> Classifier:
            return Classifier(small_text.TransformerModelArguments(str(model)), classes, **settings)

    return Factory(small_text.TransformerModelArguments(str(model)), classes)


class TrainerLoop:
    """The loop that a user of transformers writes: tokenise, pad each batch, ``train``, ``predict``, margins.

    Only unlabelled rows are predicted; texts are tokenised again in every round.
    """

    name = "trainer"

    def __init__(self, scene: Scene, model: Path) -> None:
        from transformers import AutoTokenizer

        self.parts = Parts()
        self.settings = {
            "padding": "each batch to its longest row, rows in their order",
            "predicted in a query": "the unlabelled rows",
            "prediction batch": PREDICTION_BATCH,
            "optimiser": "Trainer's default, adamw_torch_fused",
        }
        self._scene, self._model = scene, str(model)
        self._tokenizer = AutoTokenizer.from_pretrained(self._model)
        self._targets: dict[int, int] = {}
        self._trainer: Any = None

    def update(self, ids: Ids, targets: Ids) -> None:
        """Train a fresh model with a fresh trainer."""
        from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding

        self._targets |= dict(zip(ids.tolist(), targets.tolist(), strict=True))
        rows = self._tokenise(
            [self._scene.pool.texts[i] for i in self._scene.pool.positions([*self._targets])]
        )
        for row, target in zip(rows, self._targets.values(), strict=True):
            row["labels"] = target
        _seed(self._scene, len(rows))
        model = AutoModelForSequenceClassification.from_pretrained(
            self._model, num_labels=len(self._scene.classes)
        )
        recipe = self._scene.recipe
        said = TrainerRecipe(
            recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.warm_up_steps(len(rows)),
            recipe.weight_decay, recipe.clip_norm, _seed_of(self._scene, len(rows)),
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            self._trainer = trained(model, rows, DataCollatorWithPadding(self._tokenizer), said, folder)

    def query(self, n: int) -> Ids:
        """Predict the unlabelled rows and take the smallest margins."""
        unlabelled: Ids = np.setdiff1d(self._scene.pool.ids, [*self._targets])
        texts = [self._scene.pool.texts[i] for i in self._scene.pool.positions(unlabelled)]
        logits = self._trainer.predict(self._tokenise(texts)).predictions.astype(np.float64)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return unlabelled[lowest_margins(weights / weights.sum(axis=1, keepdims=True), n)]

    def predict_test(self) -> Ids:
        """Return the predicted classes of the test rows."""
        logits = self._trainer.predict(self._tokenise(self._scene.test.texts)).predictions
        return np.asarray(logits.argmax(axis=1), dtype=np.int64)

    def _tokenise(self, texts: list[str]) -> list[dict[str, Any]]:
        with self.parts.count("tokenising"):
            encoded = self._tokenizer(texts, truncation=True, max_length=self._scene.recipe.max_length)
            return [
                {"input_ids": tokens, "attention_mask": mask}
                for tokens, mask in zip(encoded["input_ids"], encoded["attention_mask"], strict=True)
            ]


CONTESTANTS: Final[dict[str, Callable[[Scene, Path], Any]]] = {
    SmallText.name: SmallText,
    TrainerLoop.name: TrainerLoop,
}


def _seed_of(scene: Scene, labelled: int) -> int:
    return scene.seed * 100_000 + labelled


def _seed(scene: Scene, labelled: int) -> None:
    import torch

    # Both peers draw head, dropout and order of rows from torch's global state and from nowhere else.
    torch.manual_seed(_seed_of(scene, labelled))


def run_scene(
    scene: Scene, contestant: str, model: Path, threads: int, rounds: int | None, timing: bool
) -> Run:
    """Play one scene and print a line for every round."""
    player: Contestant = CONTESTANTS[contestant](scene, model)
    played = []
    for line in play(scene, player, rounds):
        played.append(line)
        seconds = f"{line.query_seconds:.1f}, {line.update_seconds:.1f}, {line.test_seconds:.1f}"
        print(
            f"{scene.corpus} {scene.seed} {contestant}: {line.labelled} labels, accuracy {line.accuracy:.3f} "
            f"(seconds of query, update, test: {seconds})",
            flush=True,
        )
    return Run(
        contestant=contestant,
        corpus=scene.corpus,
        seed=scene.seed,
        scene=scene.digest,
        threads=threads,
        timing=timing,
        rounds=played,
        parts=dict(player.parts),
        settings=player.settings,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Play scenes that have no finished run yet; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="+", type=Path, metavar="SCENE", help="files written by protocol.py")
    parser.add_argument("--contestant", required=True, choices=sorted(CONTESTANTS))
    parser.add_argument("--model", type=Path, required=True, help="folder of the pretrained model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--rounds", type=int, help="rounds of querying in place of the scene's; needs --timing"
    )
    parser.add_argument(
        "--timing", action="store_true", help="measure times: play again, in a file of its own"
    )
    given = parser.parse_args(arguments)
    if given.rounds is not None and not given.timing:
        parser.error(f"--rounds {given.rounds} makes a run that is not whole; give --timing with it.")
    if not (given.model / "config.json").is_file():
        parser.error(f"--model {str(given.model)!r} holds no config.json; name the folder of a model.")
    try:
        for path in given.scenes:
            scene = Scene.load(path)
            out = run_path(given.out, scene, given.contestant, given.timing)
            if given.timing or not is_finished(out, scene):
                _prepare(given.threads)
                run = run_scene(
                    scene, given.contestant, given.model, given.threads, given.rounds, given.timing
                )
                run.save(out)
    except ProtocolError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _prepare(threads: int) -> None:
    for name in THREAD_VARIABLES:  # read when torch and tokenizers are imported
        os.environ[name] = str(threads)
    os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    if MEMORY_FOLDER.is_dir():
        os.environ.setdefault("SMALL_TEXT_TEMP", str(MEMORY_FOLDER))
    import torch
    import transformers

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()


if __name__ == "__main__":
    raise SystemExit(main())
