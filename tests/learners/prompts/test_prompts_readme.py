"""The example of the page runs, with a tiny model in place of the one from the hub."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import react_rl.learners.prompts


def test_the_example_begins_without_labels_and_buys_twenty(
    masked_lm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(react_rl.learners.prompts.__file__).with_name("README.md").read_text(encoding="utf-8")
    example, _ = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert '"bert-base-uncased"' in example
    settings = f'"{masked_lm}", max_length=32, precision="fp32"'
    code = example.replace('"bert-base-uncased"', settings).replace("synthetic_corpus(200)", "SHORT")
    from dataclasses import replace

    from react_rl.data.synthetic import synthetic_corpus

    made = synthetic_corpus(200)
    short = replace(made, texts=tuple(" ".join(text.split()[:8]) for text in made.texts))
    exec(compile(code, "README.md", "exec"), {"SHORT": short})
    assert re.search(r"no label: \[.*\]\n20 labels: \[", capsys.readouterr().out)


def test_the_example_of_a_search_prints_a_trace_a_template_and_words(
    masked_lm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(react_rl.learners.prompts.__file__).with_name("README.md").read_text(encoding="utf-8")
    _, example = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    code = example.replace('"bert-base-uncased"', f'"{masked_lm}", max_length=32, precision="fp32"')
    exec(compile(code, "README.md", "exec"), {})
    first, second, third = capsys.readouterr().out.splitlines()
    assert "'prediction': " in first
    assert second.startswith("Ranked(template=")
    assert third.startswith("{'positive': (")
