"""The README, walked through from top to bottom in an empty folder: every config, command and program.

Commands that take more than seconds are played smaller: with a tiny encoder, a few seeds and short episodes
(``SMALLER``), which anybody can add to the same commands. ``ELSEWHERE`` lists what other tests play.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from react_rl.experiments.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
ELSEWHERE = {
    "make demo": "tests/experiments/cli/test_demo.py",
    "make test": "this suite",
}
EPISODE = (
    "--encoder.model tiny --encoder.max-length 24 --episode.pool-size 40 --episode.dev-size 15 "
    "--episode.initial-size 6 --episode.budget 8 --episode.batch-size 4"
)
TRAINING = (
    "--corpora.0.max-rows 150 --corpora.1.max-rows 150 --agent.episodes 4 --agent.n-envs 2 "
    "--agent.evaluations 1 --agent.evaluation-episodes 2 --reward.scale one"
)
FINETUNING = "--learner.finetune.model tiny --learner.finetune.max-length 24 --learner.finetune.steps 2"
EXPLAINING = "--seeds 2 --corpora.0.max-rows 150 --corpora.1.max-rows 150"
SMALLER = {
    "compare": f"--seeds 2 --jobs 1 {EPISODE} ",
    "train": f"{TRAINING} {EPISODE} ",
    "explain": f"{EXPLAINING} {EPISODE} ",
}


def commands(block: str) -> list[str]:
    """Lines of a shell block without their comments."""
    lines = (re.sub(r"\s+#.*$", "", line).strip() for line in block.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def smaller(words: list[str]) -> list[str]:
    """The same command with quick settings in place of its own."""
    options = shlex.split(SMALLER.get(words[0], "") + (FINETUNING if "finetune" in words else ""))
    kept, i = list(words), 0
    while i < len(kept):
        if kept[i] in options:
            del kept[i : i + 2]
        else:
            i += 1
    return [*kept, *options]


def questions() -> str:
    """A file of the form that the README describes."""
    kinds = {"number": "how many", "place": "where is", "person": "who wrote"}
    things = ("river", "book", "mountain", "song", "city")
    rows = [f"{words} the {things[i % 5]} {i},{kind}" for i in range(60) for kind, words in kinds.items()]
    return "\n".join(["question,kind", *rows])


@pytest.mark.slow
def test_every_block_of_the_readme_works_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_bert: Callable[[Path, Sequence[str]], Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REACT_RL_CACHE", str(tmp_path / "cache"))
    save_bert(tmp_path / "tiny", ["how", "where", "who", "many", "is", "wrote", "the", "river", "book"])
    (tmp_path / "questions.csv").write_text(questions(), encoding="utf-8")
    played = 0
    for language, block in BLOCKS:
        named = re.match(r"# (\S+\.\w+)\n", block)
        if named is not None:
            (tmp_path / named.group(1)).write_text(block, encoding="utf-8")
        elif language == "python":
            exec(compile(block, "README.md", "exec"), {})
        for command in commands(block) if language == "sh" else []:
            if command in ELSEWHERE:
                continue
            program, *words = shlex.split(command)
            assert program == "react-rl", command
            assert main(smaller(words)) == 0, command
            played += 1
    assert played >= 10
    for name in ("questions", "trained", "tuned", "own"):
        assert (tmp_path / "results" / name / "summary.csv").is_file(), name
    assert (tmp_path / "results" / "questions" / "report.html").is_file()
    assert (tmp_path / "results" / "questions" / "figures" / "areas.pdf").is_file()
    assert (tmp_path / "results" / "further" / "policy" / "card.json").is_file()
    assert "dense-entropy" in (tmp_path / "results" / "own" / "summary.csv").read_text(encoding="utf-8")


def test_the_readme_is_short_and_its_blocks_are_of_known_kinds() -> None:
    assert len(PAGE.splitlines()) <= 160
    assert {language for language, _ in BLOCKS} <= {"sh", "yaml", "python", ""}


def test_every_link_of_every_page_leads_somewhere() -> None:
    """Files exist, and a part of a page that is named has a heading."""

    def anchors(page: Path) -> set[str]:
        headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    for folder in ("agents", "envs", "experiments", "react_rl", "results"):
        pages += [path for path in (ROOT / folder).rglob("*.md") if not path.parent.is_symlink()]
    broken = []
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith(("http", "mailto:")):
                continue
            name, _, part = target.partition("#")
            path = page if not name else page.parent / name
            if not path.exists() or (part and part not in anchors(path)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def test_the_index_of_the_readme_names_the_page_of_every_folder() -> None:
    listed = set(re.findall(r"\]\(([^)#\s]+)", PAGE))
    pages = {
        path.relative_to(ROOT).as_posix()
        for folder in ("agents", "envs", "experiments", "react_rl")
        for path in (ROOT / folder).rglob("README.md")
        if not any(part.is_symlink() for part in path.parents)
    }
    assert sorted(pages - listed) == []
