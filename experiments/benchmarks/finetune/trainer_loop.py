"""One training with ``transformers.Trainer``, as every peer here does it.

Runs in the peers' environment too, and so imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

PREDICTION_BATCH: Final = 16


@dataclass(frozen=True)
class TrainerRecipe:
    """A training in the words of transformers.

    Args:
        epochs: Passes over the rows.
        batch_size: Rows of a step.
        learning_rate: Peak of the schedule, which falls linearly.
        warm_up_steps: Steps in which it rises.
        weight_decay: AdamW's.
        clip_norm: Largest norm of the gradient.
        seed: Of the order of rows and of dropout.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warm_up_steps: int
    weight_decay: float
    clip_norm: float
    seed: int = 0


def trained(model: Any, rows: Any, collator: Any, recipe: TrainerRecipe, folder: str) -> Any:
    """Train a model on the processor; the Trainer that did it, which predicts.

    Args:
        model: A fresh model. It is trained in place.
        rows: What it reads, with the targets.
        collator: Pads a batch.
        recipe: How it is trained.
        folder: For the Trainer's files.
    """
    from transformers import PrinterCallback, Trainer, TrainingArguments

    arguments = TrainingArguments(
        folder,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=PREDICTION_BATCH,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=recipe.warm_up_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.clip_norm,
        seed=recipe.seed,
        use_cpu=True,
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collator)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer
