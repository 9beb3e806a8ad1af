"""The section of a report on what trained weigh-scores policies do: their feature weights over the budget."""

from __future__ import annotations

from react_rl.experiments.figures.curves import weights_panel
from react_rl.experiments.figures.drawing import weighing, weight_looks, weights_by_cost
from react_rl.experiments.figures.looks import key_lines
from react_rl.experiments.report.material import Material
from react_rl.experiments.report.page import Picture, Section, csv_link, figure_block, legend


def policy_section(material: Material) -> list[Section]:
    """Feature weights by cost, a panel for each policy and corpus; nothing where no policy weighs any."""
    results = material.results
    looks, panels = weight_looks(results), weighing(results)
    if not panels:
        return []
    columns = [f"weight:{name}" for name in looks]
    pictures, links = [], []
    for i, (corpus, strategy) in enumerate(panels, start=1):
        own = results.curves[(results.curves["corpus"] == corpus) & (results.curves["strategy"] == strategy)]
        mean = weights_by_cost(own).groupby("cost", as_index=False)[columns].mean()
        first, last = mean.iloc[0], mean.iloc[-1]
        said = "Mean weights at the first and at the last choice: " + ", ".join(
            f"{name} {first[f'weight:{name}']:.2f} and {last[f'weight:{name}']:.2f}" for name in looks
        )
        figure = weights_panel(results.curves, corpus, strategy, looks)
        pictures.append(Picture(figure, f"Feature weights of {strategy} on {corpus}", f"{said}."))
        links.append(csv_link(f"weights-{i}", mean, f"{strategy} on {corpus}"))
    caption = (
        "Weights that a policy gives to the standardised acquisition features when it chooses a batch: mean "
        "over seeds, bands of one standard deviation between seeds. Flat lines with narrow bands belong to "
        "a policy that decides alike whatever it sees."
    )
    key = legend(key_lines(looks))
    body = figure_block("weights", pictures, caption, links, key, before_links="CSV:")
    return [Section("policy", "What the policy weighs", body)]
