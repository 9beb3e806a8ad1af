"""The query strategies of the package: adding one is a module and a line here."""

from __future__ import annotations

from typing import Final

from react_rl.acquisition.contract import StrategyEntry
from react_rl.acquisition.of_others import OF_OTHERS
from react_rl.acquisition.of_parts import OF_PARTS
from react_rl.acquisition.strategies.calibrated import CalibratedUncertainty
from react_rl.acquisition.strategies.committee import QueryByCommittee
from react_rl.acquisition.strategies.competence import Dcom
from react_rl.acquisition.strategies.coverage import MaxHerding, ProbCover, UncertaintyHerding
from react_rl.acquisition.strategies.discriminative import DiscriminativeSampling
from react_rl.acquisition.strategies.diversity import KMeansSampling, TypiClust
from react_rl.acquisition.strategies.fisher import Bait
from react_rl.acquisition.strategies.gradient import Badge, ExpectedGradientLength
from react_rl.acquisition.strategies.hybrid import ContrastiveLearning, InformationDensity
from react_rl.acquisition.strategies.look_ahead import ExpectedErrorReduction
from react_rl.acquisition.strategies.perturbed import AlfaMix, DropQuery, NoiseStability
from react_rl.acquisition.strategies.stochastic import Falcun, StochasticBatch
from react_rl.acquisition.strategies.uncertainty import Entropy, LeastConfidence, Margin, RandomSampling
from react_rl.acquisition.strategies.weighted import WeightedFeatures, k_center, tuned_mixture, typicality
from react_rl.acquisition.strategies.whole_batches import BatchBald, ClusterMargin, WeightedKMeans
from react_rl.learners.capabilities import Capability

_DROPOUT: Final = "O(M P C D)"
_CLASSES: Final[frozenset[Capability]] = frozenset({"classes"})
_LINEAR: Final[frozenset[Capability]] = frozenset({"linear"})
_DROPS: Final[frozenset[Capability]] = frozenset({"classes", "dropout"})
_VOTES: Final[frozenset[Capability]] = frozenset({"classes", "committee"})
_TRIALS: Final[frozenset[Capability]] = frozenset({"classes", "trials"})
_BOOTSTRAP: Final = "O(M (P C D + L^3))"


PACKAGED: Final[dict[str, StrategyEntry]] = {
    "random": StrategyEntry(RandomSampling, "random", "rows drawn evenly", "-", cost="O(P)", draws=True),
    "least-confidence": StrategyEntry(
        LeastConfidence, "uncertainty", "smallest top probability", "Lewis & Gale 1994"
    ),
    "margin": StrategyEntry(
        Margin, "uncertainty", "smallest gap of the two top probabilities", "Scheffer et al. 2001"
    ),
    "entropy": StrategyEntry(Entropy, "uncertainty", "largest predictive entropy", "Dagan & Engelson 1995"),
    "k-center": StrategyEntry(
        k_center,
        "diversity",
        "farthest from labelled and picked rows",
        "Sener & Savarese 2018",
        cost="O(P n D)",
    ),
    "k-means": StrategyEntry(
        KMeansSampling,
        "diversity",
        "nearest row to each of n centroids",
        "Bodó et al. 2011; Yuan et al. 2020",
        cost="O(P n D) an iteration",
    ),
    "alps": StrategyEntry(
        lambda: KMeansSampling("alps", "surprisal"),
        "diversity",
        "k-means on a masked language model's surprise; needs a masked-LM head",
        "Yuan et al. 2020",
        cost="O(P n S) an iteration, S tokens",
        draws=True,  # few entries differ from 0, so small clusters and equal distances are common
        surprisal=True,
    ),
    "typiclust": StrategyEntry(
        TypiClust,
        "representative",
        "most typical row of the largest uncovered clusters",
        "Hacohen et al. 2022",
        cost="O(P (L + n) D) an iteration",
    ),
    "probcover": StrategyEntry(
        ProbCover,
        "representative",
        "balls that cover most uncovered rows",
        "Yehuda et al. 2022",
        cost="O(P^2 D)",
    ),
    "maxherding": StrategyEntry(
        MaxHerding,
        "representative",
        "greatest gain of mean similarity to the labelled rows",
        "Bae et al. 2024",
        cost="O(P^2 D)",
    ),
    "uncertainty-herding": StrategyEntry(
        UncertaintyHerding,
        "hybrid",
        "maxherding weighted by uncertainty, bandwidth falling with labels",
        "Bae et al. 2025",
        cost="O(P^2 D)",
    ),
    "dal": StrategyEntry(
        DiscriminativeSampling,
        "diversity",
        "least like the labelled rows to a logistic discriminator",
        "Gissin & Shalev-Shwartz 2019",
        cost="O(P D) a gradient step",
    ),
    "typicality": StrategyEntry(
        typicality,
        "representative",
        "dense regions far from labelled rows",
        "after Hacohen et al. 2022",
        cost="O(P n D)",
    ),
    "variance-reduction": StrategyEntry(
        lambda: WeightedFeatures("variance-reduction", {"variance_reduction": 1.0}),
        "hybrid",
        "largest reduction of the pool's variance, weighted by uncertainty",
        "after Cohn et al. 1996",
        cost="O(P^2 L)",
        needs=_CLASSES,
    ),
    "mixture": StrategyEntry(
        WeightedFeatures,
        "hybrid",
        "fixed weights on margin, density, novelty, balance",
        "this project",
        cost="O(P (C + n D))",
    ),
    "tuned-mixture": StrategyEntry(
        tuned_mixture,
        "hybrid",
        "fixed weights on six features, found by random search",
        "this project",
        cost="O(P^2 L)",
        needs=_CLASSES,
    ),
    "calibrated-margin": StrategyEntry(
        CalibratedUncertainty,
        "uncertainty",
        "smallest margin at a leave-one-out temperature",
        "Guo et al. 2017; Cawley & Talbot 2008",
        cost="O(P C + L^3)",
        needs=_LINEAR,
    ),
    "calibrated-entropy": StrategyEntry(
        lambda: CalibratedUncertainty("calibrated-entropy", "entropy"),
        "uncertainty",
        "largest entropy at a leave-one-out temperature",
        "Guo et al. 2017; Cawley & Talbot 2008",
        cost="O(P C + L^3)",
        needs=_LINEAR,
    ),
    "bald": StrategyEntry(
        QueryByCommittee,
        "uncertainty",
        "mutual information of label and model, resampled heads",
        "Houlsby et al. 2011",
        cost=_BOOTSTRAP,
        needs=_VOTES,
        draws=True,
    ),
    "bald-dropout": StrategyEntry(
        lambda: QueryByCommittee("bald-dropout", "mutual-information", "dropout"),
        "uncertainty",
        "mutual information of label and model, dropout on the embedding",
        "Gal et al. 2017",
        cost=_DROPOUT,
        needs=_DROPS,
    ),
    "variation-ratio": StrategyEntry(
        lambda: QueryByCommittee("variation-ratio", "variation-ratio", "dropout"),
        "uncertainty",
        "largest share of votes against the winner, dropout",
        "Freeman 1965; Beluch et al. 2018",
        cost=_DROPOUT,
        needs=_DROPS,
        draws=True,  # ten votes tie on most rows
    ),
    "mean-std": StrategyEntry(
        lambda: QueryByCommittee("mean-std", "deviation", "dropout"),
        "uncertainty",
        "largest deviation of the probabilities, dropout",
        "Kampffmeyer et al. 2016; Gal et al. 2017",
        cost=_DROPOUT,
        needs=_DROPS,
    ),
    "vote-entropy": StrategyEntry(
        lambda: QueryByCommittee("vote-entropy", "vote-entropy"),
        "uncertainty",
        "largest entropy of the votes, resampled heads",
        "Dagan & Engelson 1995",
        cost=_BOOTSTRAP,
        needs=_VOTES,
        draws=True,
    ),
    "qbc-kl": StrategyEntry(
        lambda: QueryByCommittee("qbc-kl", "divergence"),
        "uncertainty",
        "mean divergence from the committee's mean; the same number as bald",
        "McCallum & Nigam 1998",
        cost=_BOOTSTRAP,
        needs=_VOTES,
        draws=True,
    ),
    "egl": StrategyEntry(
        ExpectedGradientLength,
        "uncertainty",
        "largest expected gradient of the head",
        "Settles & Craven 2008",
        needs=_CLASSES,
    ),
    "badge": StrategyEntry(
        Badge,
        "hybrid",
        "k-means++ on hypothetical gradients",
        "Ash et al. 2020",
        cost="O(P n (C + D))",
        needs=_CLASSES,
        draws=True,
    ),
    "power-margin": StrategyEntry(
        lambda: StochasticBatch("power-margin", Margin(), "power", shift=1.0),
        "uncertainty",
        "rows drawn in proportion to 1 - margin",
        "Kirsch et al. 2023; Bahri et al. 2022",
        draws=True,
    ),
    "power-bald": StrategyEntry(
        lambda: StochasticBatch("power-bald", QueryByCommittee()),
        "uncertainty",
        "rows drawn in proportion to bald",
        "Kirsch et al. 2023",
        cost=_BOOTSTRAP,
        needs=_VOTES,
        draws=True,
    ),
    "batch-bald": StrategyEntry(
        BatchBald,
        "hybrid",
        "joint mutual information of the batch's labels and the model",
        "Kirsch et al. 2019",
        cost="O(M (P C D + L^3 + n C S K)), S joint labels of K candidates",
        needs=_VOTES,
        draws=True,
    ),
    "cal": StrategyEntry(
        ContrastiveLearning,
        "hybrid",
        "predicted unlike the nearest labelled rows",
        "Margatina et al. 2021",
        cost="O(P L C)",
        needs=_CLASSES,
    ),
    "information-density": StrategyEntry(
        InformationDensity,
        "hybrid",
        "entropy times mean similarity to the pool",
        "Settles & Craven 2008",
        cost="O(P (C + D))",
    ),
    "cluster-margin": StrategyEntry(
        ClusterMargin,
        "hybrid",
        "smallest margin of each of n clusters",
        "after Citovsky et al. 2021",
        cost="O(P C + (10 n)^3)",
    ),
    "weighted-k-means": StrategyEntry(
        WeightedKMeans,
        "hybrid",
        "nearest row to each of n centroids of the uncertain, weighted by 1 - margin",
        "Zhdanov 2019",
        cost="O(P C + n^2 D) an iteration",
    ),
    "alfamix": StrategyEntry(
        AlfaMix,
        "hybrid",
        "one of each cluster of rows that turn when a little of a class is mixed in",
        "Parvaneh et al. 2022",
        cost="O(P C (C + D) + P n D) an iteration",
        needs=_CLASSES,
        draws=True,  # of other rows where few turn
    ),
    "dropquery": StrategyEntry(
        DropQuery,
        "hybrid",
        "one of each cluster of rows that turn under heavy dropout",
        "Gupte et al. 2024",
        cost="O(M P C D + P n D) an iteration",
        needs=_DROPS,
        draws=True,  # of other rows where few turn
    ),
    "noise-stability": StrategyEntry(
        NoiseStability,
        "hybrid",
        "probabilities that move most and most variously when the head is shaken",
        "Li et al. 2024",
        cost="O(M P C (D + n))",
        needs=_CLASSES,
    ),
    "falcun": StrategyEntry(
        Falcun,
        "hybrid",
        "rows drawn by uncertainty and by unlike predictions in the batch",
        "Gilhuber et al. 2024",
        cost="O(P n C)",
        needs=_CLASSES,
        draws=True,
    ),
    "bait": StrategyEntry(
        Bait,
        "hybrid",
        "least trace of the pool's Fisher information over that of what is labelled",
        "Ash et al. 2021",
        cost="O(C (P^2 L + n P (P + L)))",
        needs=_CLASSES,
    ),
    "dcom": StrategyEntry(
        Dcom,
        "hybrid",
        "coverage first, margin once pure balls cover the pool",
        "Mishal & Weinshall 2024",
        cost="O(P^2 (D + n) + P L)",
        needs=_CLASSES,
    ),
    "expected-error": StrategyEntry(
        ExpectedErrorReduction,
        "hybrid",
        "smallest error that the model expects of itself after the label, on a short list",
        "Roy & McCallum 2001",
        cost="O(K C (P L C + L^3)), K rows of a short list",
        needs=_TRIALS,
        draws=True,
    ),
    **OF_OTHERS,
    **OF_PARTS,
}
"""By name, in the order of lists; whatever a program adds is in the registry alone."""
