"""models.scores: formulas, parity with other people's code, and bits that no company changes."""

import re

import numpy as np
import pytest
import torch
from pytorch_ood import detector
from scipy import special
from scipy.spatial import distance
from sklearn.covariance import ledoit_wolf

from models.errors import ConfigError
from models.feature_scores import LARGEST_BANK, shrunk_covariance
from models.head import Head
from models.scores import (
    SCORES,
    STANDARD,
    Floats,
    Outputs,
    Reference,
    Score,
    energy,
    energy_change,
    entropy,
    fit_fused,
    fit_score,
    fit_scores,
    gen,
    max_logit,
    mcm,
    msp,
    restore_score,
    softmax,
)

# Axes: B batch, K classes, D embedding, N training images.

DIM, CLASSES, PER_CLASS = 24, 5, 40
SCALE = 30.0
LABELS_N = np.repeat(np.arange(CLASSES), PER_CLASS)


def unit(x_BD: Floats) -> Floats:
    """Return rows of unit length."""
    lengths: Floats = np.linalg.norm(x_BD, axis=1, keepdims=True)
    return x_BD / lengths


def make_head(rng: np.random.Generator) -> Head:
    """Return a head that turns embeddings a little, with prototypes anywhere."""
    transform_DD = np.eye(DIM) + rng.normal(scale=0.05, size=(DIM, DIM))
    prototypes_KD = unit(rng.normal(size=(CLASSES, DIM)))
    return Head(transform_DD.astype(np.float32), prototypes_KD.astype(np.float32), SCALE)


def around(centres_BD: Floats, rng: np.random.Generator, *, spread: float = 0.1) -> Outputs:
    """Return outputs of embeddings near these."""
    x_BD = 7 * (centres_BD + rng.normal(scale=spread, size=centres_BD.shape))
    return HEAD.outputs(x_BD.astype(np.float32))


RNG = np.random.default_rng(0)
HEAD = make_head(RNG)
CENTRES_KD = unit(HEAD.prototypes_KD @ np.linalg.inv(HEAD.image_transform_DD.astype(np.float64)))
REFERENCE = Reference(
    outputs=around(CENTRES_KD[LABELS_N], RNG),
    labels_N=LABELS_N,
    negatives_MD=unit(RNG.normal(size=(30, DIM))),
    held_out=around(CENTRES_KD[LABELS_N], RNG),
)
FITTED = fit_scores(REFERENCE, SCORES)
QUERY = around(np.concatenate([CENTRES_KD[LABELS_N[::8]], unit(RNG.normal(size=(25, DIM)))]), RNG)


def logits_of(outputs: Outputs) -> torch.Tensor:
    """Return the logits as the other library takes them."""
    return torch.from_numpy(outputs.logits_BK)


def wide(logits: int = 130, rows: int = 40) -> Floats:
    """Return logits of more classes than GEN looks at."""
    return np.random.default_rng(3).normal(scale=3, size=(rows, logits))


def test_energy_is_minus_temperature_times_logsumexp() -> None:
    """Against SciPy, at two temperatures."""
    logits_BK = np.random.default_rng(0).normal(scale=30, size=(6, 5))

    for t in (1.0, 2.5):
        expected_B = -t * special.logsumexp(logits_BK / t, axis=1)
        np.testing.assert_allclose(energy(logits_BK, temperature=t), expected_B, rtol=1e-12)


def test_energy_does_not_overflow() -> None:
    """Logits of a thousand stay finite."""
    assert energy(np.array([[1000.0, -1000.0]])) == pytest.approx([-1000.0])


def test_softmax_rows_sum_to_one() -> None:
    """Probabilities, whatever the size of the logits."""
    logits_BK = np.array([[800.0, 799.0], [-800.0, -700.0]])

    np.testing.assert_allclose(softmax(logits_BK).sum(axis=1), 1.0)


def test_msp_of_a_certain_image_is_small_and_not_zero() -> None:
    """One minus a probability that rounds to one would be 0 for each of them."""
    assert msp(np.array([[100.0, 40.0], [100.0, 50.0]])) == pytest.approx(np.exp([-60.0, -50.0]))


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_higher_for_more_unusual(name: str) -> None:
    """It tells images near a class from images of anything, nearly always."""
    scores_B = FITTED[name](QUERY)
    known_n, unusual_m = scores_B[:25], scores_B[25:]

    assert np.mean(known_n[:, None] < unusual_m) > 0.9


@pytest.mark.parametrize("name", SCORES)
def test_an_image_has_the_same_bits_in_any_company(name: str) -> None:
    """Alone, among fifty, in another order, in memory laid out otherwise."""
    together_B = FITTED[name](QUERY)
    backwards = Outputs(
        np.asfortranarray(QUERY.logits_BK[::-1]),
        np.asfortranarray(QUERY.unit_BD[::-1]),
        np.asfortranarray(QUERY.adapted_BD[::-1]),
        SCALE,
    )

    alone_B = np.concatenate([FITTED[name](QUERY.row(i)) for i in range(len(together_B))])

    np.testing.assert_array_equal(together_B, alone_B)
    np.testing.assert_array_equal(together_B[::-1], FITTED[name](backwards))
    assert FITTED[name](QUERY.row(99)).shape == (0,)


@pytest.mark.parametrize("name", SCORES)
def test_a_score_survives_its_tensors(name: str) -> None:
    """Restored, it gives the same bits; it stores what its entry says and nothing else."""
    tensors = FITTED[name].tensors()

    restored = restore_score(name, tensors, dim=DIM)

    np.testing.assert_array_equal(restored(QUERY), FITTED[name](QUERY))
    assert set(tensors) == set(SCORES[name].stores)
    assert bool(tensors) == (SCORES[name].needs != "nothing")


def test_logit_scores_are_those_of_pytorch_ood() -> None:
    """Energy, max logit, entropy and GEN as they are; MSP and MCM there lack the ``1 +``.

    pytorch-ood clips probabilities to 1e-7 for entropy and GEN, and GEN is a mean over the
    classes there and a sum here, as in the paper.
    """
    logits_BK = wide()
    theirs = torch.from_numpy(logits_BK)

    close = np.testing.assert_allclose
    close(energy(logits_BK), detector.EnergyBased.score(theirs), rtol=1e-12)
    close(max_logit(logits_BK), detector.MaxLogit.score(theirs), rtol=1e-12)
    close(msp(logits_BK), 1 + detector.MaxSoftmax.score(theirs).numpy(), rtol=1e-9)
    close(entropy(logits_BK), detector.Entropy.score(theirs), atol=1e-4)
    close(gen(logits_BK), 100 * detector.GEN.score(theirs, gamma=0.1, M=100).numpy(), rtol=1e-6)
    cosines = logits_of(QUERY) / SCALE
    close(
        mcm(QUERY.logits_BK, logit_scale=SCALE),
        1 + detector.MaxSoftmax.score(cosines).numpy(),
        rtol=1e-9,
    )


def test_knn_is_that_of_pytorch_ood() -> None:
    """Distances at unit length to the k-th nearest, for the nearest and the third."""
    bank = torch.from_numpy(REFERENCE.outputs.unit_BD)
    for k in (1, 3):
        theirs = detector.KNN(None, k=k).fit_features(bank, torch.from_numpy(LABELS_N))
        tensors = FITTED["knn"].tensors() | {"k": np.array(k)}
        expected_B = theirs.predict_features(torch.from_numpy(QUERY.unit_BD))

        found_B = restore_score("knn", tensors)(QUERY)
        np.testing.assert_allclose(found_B, expected_B, rtol=1e-6)


def test_mahalanobis_is_that_of_pytorch_ood_with_the_same_covariance() -> None:
    """pytorch-ood halves the distance, does not divide its scatter by N, and does not shrink it."""
    theirs = detector.Mahalanobis(None).fit_features(
        torch.from_numpy(REFERENCE.outputs.unit_BD), torch.from_numpy(LABELS_N)
    )
    _with_our_precision(theirs)

    expected_B = 2 * theirs.predict_features(torch.from_numpy(QUERY.unit_BD)).numpy() / DIM

    np.testing.assert_allclose(FITTED["mahalanobis"](QUERY), expected_B, rtol=1e-4)


def test_relative_mahalanobis_is_that_of_pytorch_ood_with_the_same_covariances() -> None:
    """Its relative distance is not halved; the scatters again are neither divided nor shrunk."""
    x_ND = REFERENCE.outputs.unit_BD
    theirs = detector.RMD(None).fit_features(torch.from_numpy(x_ND), torch.from_numpy(LABELS_N))
    _with_our_precision(theirs)
    all_DD = shrunk_covariance(x_ND - x_ND.mean(axis=0))
    theirs.background_precision = torch.from_numpy(np.linalg.inv(all_DD))
    theirs.background_mu = theirs.background_mu.double()

    expected_B = theirs.predict_features(torch.from_numpy(QUERY.unit_BD)).numpy() / DIM

    np.testing.assert_allclose(
        FITTED["relative_mahalanobis"](QUERY), expected_B, rtol=1e-4, atol=1e-5
    )


def _with_our_precision(theirs: detector.Mahalanobis) -> None:
    x_ND = REFERENCE.outputs.unit_BD
    means_KD = np.stack([x_ND[c == LABELS_N].mean(axis=0) for c in range(CLASSES)])
    np.testing.assert_allclose(theirs.mu, means_KD, rtol=1e-4, atol=1e-6)
    theirs.mu = torch.from_numpy(means_KD)
    residuals_ND = x_ND - means_KD[LABELS_N]
    theirs.precision = torch.from_numpy(np.linalg.inv(shrunk_covariance(residuals_ND)))


def test_the_covariance_is_ledoit_and_wolfs() -> None:
    """As scikit-learn computes it, with fewer rows than columns and with more."""
    for rows in (10, 300):
        x_ND = RNG.normal(size=(rows, 40)) * np.linspace(0.1, 2, 40)
        expected_DD, shrinkage = ledoit_wolf(x_ND, assume_centered=True)
        assert 0 < shrinkage < 1
        np.testing.assert_allclose(shrunk_covariance(x_ND), expected_DD, rtol=1e-5, atol=1e-5)


def test_one_image_a_class_has_no_covariance_but_a_score() -> None:
    """The order is then that of plain distances."""
    few = Reference(HEAD.outputs(CENTRES_KD.astype(np.float32)), np.arange(CLASSES))

    scores_B = fit_score("mahalanobis", few)(QUERY)

    distances_B = distance.cdist(QUERY.unit_BD, few.outputs.unit_BD).min(axis=1)
    np.testing.assert_array_equal(np.argsort(scores_B), np.argsort(distances_B))


def test_the_change_of_energy_by_one_class_orders_as_msp_does() -> None:
    """``exp(score) = 1 - p_max + exp(energy)``: one order where the last term is nothing."""
    logits_BK = wide() + 40.0  # as of cosines that are all well above 0
    change_B = energy_change(logits_BK, top_c=1)

    np.testing.assert_allclose(np.exp(change_B), msp(logits_BK) + np.exp(energy(logits_BK)))
    assert np.all(np.exp(energy(logits_BK)) < 1e-9 * msp(logits_BK))
    np.testing.assert_array_equal(np.argsort(change_B), np.argsort(msp(logits_BK)))


def test_the_change_of_energy_crops_the_largest_and_leaves_one() -> None:
    """Against the definition in plain steps; of two classes one is cropped."""
    row_K = np.array([4.0, -1.0, 7.0, 2.0])
    expected = special.logsumexp([0.0, -1.0, 0.0, 2.0]) - special.logsumexp(row_K)

    assert energy_change(row_K[None]) == pytest.approx([expected])
    assert energy_change(row_K[None, :2], top_c=9) == pytest.approx(
        [special.logsumexp([0.0, -1.0]) - special.logsumexp(row_K[:2])]
    )


def test_neglabel_orders_as_the_paper_does() -> None:
    """``1 - sum_classes / (sum_classes + sum_negatives)`` is the logistic of the log odds."""
    assert REFERENCE.negatives_MD is not None
    negative_BM = np.exp(SCALE * QUERY.adapted_BD @ REFERENCE.negatives_MD.T)
    known_BK = np.exp(QUERY.logits_BK)
    expected_B = 1 - known_BK.sum(1) / (known_BK.sum(1) + negative_BM.sum(1))

    np.testing.assert_allclose(special.expit(FITTED["neglabel"](QUERY)), expected_B, rtol=1e-5)


def test_fused_standardises_by_held_out_images() -> None:
    """On these its components have mean 0 and deviation 1, and so it has mean 0."""
    assert REFERENCE.held_out is not None
    parts = {name: FITTED[name] for name in ("energy", "mahalanobis")}
    held = {name: score(REFERENCE.held_out) for name, score in parts.items()}
    z = [(score(QUERY) - held[n].mean()) / held[n].std() for n, score in parts.items()]

    np.testing.assert_allclose(FITTED["energy+mahalanobis"](QUERY), (z[0] + z[1]) / 2, rtol=1e-9)
    assert FITTED["energy+mahalanobis"](REFERENCE.held_out).mean() == pytest.approx(0, abs=1e-12)
    constant = fit_fused(parts, {name: np.ones(3) for name in parts})
    assert np.all(np.isfinite(constant(QUERY)))


def test_without_held_out_images_fused_takes_the_reference() -> None:
    """And says nothing: a caller who has none cannot do better."""
    plain = Reference(REFERENCE.outputs, LABELS_N)

    assert fit_score("energy+mahalanobis", plain)(plain.outputs).mean() == pytest.approx(
        0, abs=1e-12
    )


def test_a_bank_of_very_many_is_thinned_evenly() -> None:
    """No class loses more than its share."""
    n = LARGEST_BANK + 3000
    x_ND = np.zeros((n, 2))
    x_ND[:, 0] = labels_N = np.arange(n) % 4
    outputs = Outputs(np.zeros((n, 4)), x_ND, x_ND, 1.0)

    bank_ND = fit_score("knn", Reference(outputs, labels_N)).tensors()["bank"]

    assert len(bank_ND) == LARGEST_BANK
    assert np.ptp(np.unique(bank_ND[:, 0], return_counts=True)[1]) <= 1


def test_what_cannot_be_fitted_is_refused_by_name() -> None:
    """A score that does not exist, and negatives that were not given."""
    plain = Reference(REFERENCE.outputs, LABELS_N)
    with pytest.raises(ConfigError, match=r"`score` must be one of energy, .*'magic'"):
        fit_score("magic", plain)
    with pytest.raises(ConfigError, match="`neglabel` needs text features of negative names"):
        fit_score("neglabel", plain)
    with pytest.raises(ConfigError, match=r"`gen\+knn` needs known images beside those"):
        fit_score("gen+knn", plain)
    assert set(STANDARD) - set(fit_scores(plain)) == {"neglabel"}


NAN_DD = np.full((DIM, DIM), np.nan, np.float32)


@pytest.mark.parametrize(
    ("name", "tensor", "value", "message"),
    [
        ("knn", "k", np.array(0), r"`score\.knn\.\*`: `k` must be 1 to 200"),
        ("knn", "k", np.array(1.0), r"`score\.knn\.k` must be int64 \(\)"),
        ("knn", "bank", np.zeros((9, 5), np.float32), r"float32 \(9, 24\), not empty, is .*9, 5"),
        ("knn", "bank", np.zeros((0, DIM), np.float32), r"knn\.bank` must .* not empty"),
        ("energy", "bank", np.zeros(1), r"`score\.energy\.bank` is not one"),
        ("mahalanobis", "means", np.zeros((5, DIM)), r"means` must be float32 \(5, 24\)|\(C, 24\)"),
        ("mahalanobis", "whitening", NAN_DD, r"`score\.mahalanobis\.whitening` has NaN"),
        ("relative_mahalanobis", "global_mean", np.zeros(3, np.float32), r"global_mean` must be"),
        ("neglabel", "negatives", np.zeros(DIM, np.float32), r"negatives` must be float32 \(M, 24"),
        (
            "energy+mahalanobis",
            "sigma",
            np.zeros(2),
            r"`score\.energy\+mahalanobis\.sigma` must be larger than 0",
        ),
        (
            "energy+mahalanobis",
            "mu",
            np.zeros(3),
            r"`score\.energy\+mahalanobis\.mu` must be float64 \(2,\)",
        ),
        ("energy+mahalanobis", "mahalanobis.whitening", NAN_DD, r"mahalanobis\.whitening` has NaN"),
    ],
)
def test_wrong_tensors_are_refused_by_name(
    name: str, tensor: str, value: Floats, message: str
) -> None:
    """Dtype, shape, NaN, values that mean nothing."""
    with pytest.raises(ConfigError, match=message):
        restore_score(name, FITTED[name].tensors() | {tensor: value}, dim=DIM)


@pytest.mark.parametrize("name", [name for name, spec in SCORES.items() if spec.stores])
def test_a_missing_tensor_is_refused_by_name(name: str) -> None:
    """Each of them."""
    tensors = FITTED[name].tensors()
    for missing in tensors:
        rest = {tensor: value for tensor, value in tensors.items() if tensor != missing}
        with pytest.raises(ConfigError, match=rf"`score\.{re.escape(name)}\.{missing}` is missing"):
            restore_score(name, rest)


def test_all_scores_are_scores() -> None:
    """For the type checker above all."""
    found: dict[str, Score] = FITTED
    assert list(found) == list(SCORES)
