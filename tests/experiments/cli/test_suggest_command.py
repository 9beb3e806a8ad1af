"""`react-rl suggest`: what it says of a file, prints and writes, and which options it refuses."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

import react_rl.experiments
from react_rl.data.partly_labelled import read_partly_labelled
from react_rl.errors import ReActError
from react_rl.experiments.cli import main
from react_rl.experiments.cli.suggestion import summary

Shown = pytest.CaptureFixture[str]


@pytest.fixture
def tickets(tmp_path: Path, save_bert: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty tickets, of which twelve are labelled, and a tiny encoder beside them."""
    monkeypatch.chdir(tmp_path)
    save_bert(tmp_path / "tiny", ["refund", "login", "broken", "please", "urgent"])
    lines = ["id,question,kind"]
    for i in range(40):
        word = ("refund", "login")[i % 2]
        kind = ("billing", "access")[i % 2] if i < 12 else ""
        lines.append(f"T-{i},{word} {'urgent' if i % 3 else 'please'} [bold]{i}[/bold] {'long ' * 60},{kind}")
    path = tmp_path / "tickets.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


OPTIONS = ("--text", "question", "--label", "kind", "--encoder.model", "tiny", "--encoder.max-length", "8")


def test_the_table_has_a_line_for_each_row_and_the_file_whole_texts(tickets: Path, capsys: Shown) -> None:
    assert main(["suggest", "tickets.csv", *OPTIONS, "--n", "4", "--out", "out/next.csv"]) == 0
    shown = capsys.readouterr()
    assert "tickets.csv: 40 rows, 12 labelled (access 6, billing 6)\n" in shown.err
    title, head, *rows, written = shown.out.splitlines()
    assert "(learned)" in title
    assert head.split() == ["row", "id", "prediction", "p", "text"]
    assert written == "Written: out/next.csv"
    assert len(rows) == 4
    for row in rows:
        number, name, prediction, p, *text = row.split()
        assert name == f"T-{int(number) - 1}"
        assert int(number) > 12
        assert prediction in ("billing", "access")
        assert 0.5 <= float(p) <= 1
        assert f"[bold]{int(number) - 1}[/bold]" in text
        assert len(row) <= 110
        assert row.rstrip().endswith("…")
    lines = Path("out/next.csv").read_text("utf-8-sig").splitlines()
    assert lines[0] == "id,file,row,text,label,prediction,probability"
    assert [line.split(",")[2] for line in lines[1:]] == [row.split()[0] for row in rows]
    assert all("long " * 60 in line for line in lines[1:])
    before = Path("out/next.csv").read_bytes()
    assert main(["suggest", "tickets.csv", *OPTIONS, "--n", "4", "--out", "out/next.csv"]) == 0
    assert Path("out/next.csv").read_bytes() == before


def test_without_labels_it_says_who_chooses_and_shows_no_prediction(tickets: Path, capsys: Shown) -> None:
    tickets.write_text(tickets.read_text().replace(",billing\n", ",\n").replace(",access\n", ",\n"))
    assert main(["suggest", "tickets.csv", *OPTIONS, "--n", "3"]) == 0
    shown = capsys.readouterr()
    assert "tickets.csv: 40 rows, 0 labelled\n" in shown.err
    assert "No row has a label yet, so maxherding chooses: it reads embeddings alone" in shown.err
    assert shown.out.splitlines()[1].split() == ["row", "id", "text"]


def test_a_strategy_of_ones_own_is_found_beside_the_file(tickets: Path, capsys: Shown) -> None:
    (tickets.parent / "mine.py").write_text(
        "from react_rl.acquisition.batching.selection import take_top\n\n\n"
        "class Last:\n"
        "    name = 'last'\n\n"
        "    def score(self, view):\n"
        "        return view.ids.double()\n\n"
        "    def select(self, view, n):\n"
        "        return take_top(view, self.score(view), n)\n"
    )
    assert main(["suggest", "tickets.csv", *OPTIONS, "--n", "2", "--strategy", "mine:Last"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == ["40", "39"]


@pytest.mark.usefixtures("made_corpora")
def test_a_policy_that_looks_at_a_dev_set_is_refused(
    tickets: Path, train_file: Callable[..., Path], capsys: Shown
) -> None:
    assert main(["train", str(train_file())]) == 0
    for name in ("results/small/policy", "subsample:30:results/small/policy"):
        capsys.readouterr()
        assert main(["suggest", "tickets.csv", *OPTIONS, "--strategy", name]) == 2
        assert f"'{name}' is a policy that looks at a dev metric" in capsys.readouterr().err


def test_only_the_most_frequent_of_many_classes_are_named(tmp_path: Path) -> None:
    rows = "".join(f"text {i},{'often' if i < 3 else f'c{i:02}'}\n" for i in range(20))
    (tmp_path / "many.csv").write_text(f"text,label\n{rows}waiting,\n")
    said = summary(read_partly_labelled(tmp_path / "many.csv"))
    assert said.startswith("many.csv: 21 rows, 20 labelled (often 3, c03 1, c04 1,")
    assert said.endswith("c13 1 and 6 more classes)")


@pytest.mark.usefixtures("no_encoder")
def test_each_face_names_what_its_user_types(tickets: Path, capsys: Shown) -> None:
    Path("mine.yaml").write_text("name: mine\ncorpora: [{corpus: tickets.csv}]\nstrategies: [random]\n")
    for command, typed in (
        (["suggest", "tickets.csv"], "choose one with --text ..."),
        (["compare", "mine.yaml", "--dry-run"], "choose one with text: ..."),
    ):
        assert main(command) == 2
        assert capsys.readouterr().err.rstrip().endswith(typed)
    with pytest.raises(ReActError, match=r"choose one with text=\.\.\."):
        read_partly_labelled("tickets.csv")


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--strategi", "margin"), "Unknown option '--strategi'. Did you mean '--strategy'?"),
        (("--learner.kind", "finetune"), "takes those of the encoder alone"),
        (("--encoder.modle", "tiny"), "unknown key 'encoder.modle'. Did you mean"),
        (("--encoder.max-length", "0"), "encoder.max_length is 0: input should be"),
        (("--out", "tickets.csv"), "--out names tickets.csv itself, whose labels would be lost"),
        (("--label", "kinds"), "no label column 'kinds'. Did you mean 'kind'?"),
        (("--text", "texts"), "choose one with --text ..."),
        (
            ("--id", "kind"),
            "name the column of the labels with --label ..., or that of the ids with --id ...",
        ),
        (("--n", "29"), "n is 29, but 28 rows wait for a label in tickets.csv"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    tickets: Path, capsys: Shown, options: tuple[str, str], sentence: str
) -> None:
    before = tickets.read_bytes()
    assert main(["suggest", "tickets.csv", "--text", "question", "--label", "kind", *options]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("react-rl: ") == 1
    assert sentence in shown.err.splitlines()[-1]
    assert tickets.read_bytes() == before


def label_all(path: Path) -> list[list[str]]:
    """Write a label into each row of a file of suggestions, as a spreadsheet would."""
    header, *rows = csv.reader(path.open(newline="", encoding="utf-8-sig"))
    text, label = header.index("text"), header.index("label")
    for row in rows:
        row[label] = "billing" if "refund" in row[text] else "access"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=";").writerows([header, *rows])
    return rows


def test_labels_of_a_batch_are_put_into_the_file_before_the_next_one(tickets: Path, capsys: Shown) -> None:
    before = tickets.read_text().splitlines()
    out = ("--out", "next.csv")
    assert main(["suggest", "tickets.csv", *OPTIONS, "--n", "4", *out]) == 0
    first = {int(row[2]) for row in label_all(Path("next.csv"))}
    capsys.readouterr()
    assert main(["suggest", "tickets.csv", *OPTIONS, "--n", "4", "--labels", "next.csv", *out]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith("tickets.csv: 4 labels of next.csv written (")
    assert "tickets.csv: 40 rows, 16 labelled" in shown.err
    after = tickets.read_text().splitlines()
    changed = {row for row, lines in enumerate(zip(before, after, strict=True)) if lines[0] != lines[1]}
    assert changed == first
    assert all(after[row] == f"{before[row]}{('billing', 'access')[(row - 1) % 2]}" for row in first)
    second = {int(row[2]) for row in csv.reader(Path("next.csv").read_text("utf-8-sig").splitlines()[1:])}
    assert len(second) == 4
    assert not first & second


@pytest.mark.usefixtures("no_encoder")
def test_the_last_labels_end_it(tickets: Path, capsys: Shown) -> None:
    lines = tickets.read_text().splitlines()
    waiting = [(row, line.split(",")[1]) for row, line in enumerate(lines) if row and line.endswith(",")]
    Path("next.csv").write_text(
        "row,text,label\n" + "".join(f"{row},{text},access\n" for row, text in waiting)
    )
    assert main(["suggest", "tickets.csv", *OPTIONS, "--labels", "next.csv"]) == 0
    assert "All rows of tickets.csv have a label now." in capsys.readouterr().err
    assert not any(line.endswith(",") for line in tickets.read_text().splitlines())


@pytest.mark.usefixtures("no_encoder")
def test_labels_that_are_nowhere_else_are_not_replaced(tickets: Path, capsys: Shown) -> None:
    batch = Path("next.csv")
    batch.write_text(f"row,text,label\n40,{tickets.read_text().splitlines()[40].split(',')[1]},access\n")
    before = batch.read_bytes()
    assert main(["suggest", "tickets.csv", *OPTIONS, "--n", "2", "--out", "next.csv"]) == 2
    assert "next.csv holds a label that tickets.csv lacks; put them there" in capsys.readouterr().err
    assert batch.read_bytes() == before
    batch.write_text("some,other,file\n1,2,3\n")
    assert main(["suggest", "tickets.csv", *OPTIONS, "--n", "2", "--out", "next.csv"]) == 2
    assert "next.csv is there already and is kept" in capsys.readouterr().err
    assert batch.read_text() == "some,other,file\n1,2,3\n"


def test_the_example_of_the_page_runs(tickets: Path, capsys: Shown) -> None:
    page = Path(react_rl.experiments.__file__).with_name("README.md").read_text(encoding="utf-8")
    section = page.split("## Which rows to label next\n")[1].split("\n## ")[0]
    written = section.split("```python\n")[1].split("for line in")[0]
    exec(compile(written, "README.md", "exec"), {})
    commands = section.split("```sh\n")[1].split("```")[0].splitlines()
    for command in commands:
        _, *words = command.split("#")[0].split() or [""]
        if words:
            assert main([*words, *OPTIONS[4:]]) == 0
        else:
            label_all(Path("next.csv"))
    said = capsys.readouterr().err
    assert "requests.csv: 40 rows, 12 labelled (access 6, billing 6)" in said
    assert "requests.csv: 10 labels of next.csv written" in said
    assert "requests.csv: 40 rows, 22 labelled" in said
    assert len(Path("next.csv").read_text().splitlines()) == 11
