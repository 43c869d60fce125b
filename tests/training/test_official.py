"""The objective `official` is what the authors' code computes, step by step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks import golden
from models.errors import ConfigError
from models.head import Head
from training import official
from training.official_trainer import OfficialTrainer, rate
from training.recipe import load_recipe
from training.trainer import Model
from training.tune import TextSource, TuneConfig, official_defaults, tune

# Axes: N images, V views, B batch, K classes, D embedding.

SCALE = 30.0
BRANCHES: dict[str, dict[str, Any]] = {
    "shifted": {},
    "imagenet": {"edr": "setup1", "gen_steps": 3},
    "vlcs": {"vlcs": True, "gen_steps": 2},
    "no generator": {"gen_steps": 0, "lambda_2": 100.0},
}
Set = tuple[NDArray[np.float32], NDArray[np.int64]]


def drawn(*shape: int, seed: int) -> NDArray[np.float64]:
    """Return random numbers around 0.3, as raw features are: neither unit nor centred."""
    return np.random.default_rng(seed).standard_normal(shape) + 0.3


def unit(rows_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows divided by their length plus 1e-6, row by row."""
    return np.stack([row / (math.sqrt(sum(row**2)) + 1e-6) for row in rows_ND])


def slope_of_energy(
    x_ND: NDArray[np.float64],
    t_KD: NDArray[np.float64],
    weights: tuple[NDArray[np.float64], NDArray[np.float64]],
    ratios: tuple[float, float],
) -> NDArray[np.float64]:
    """Return d sum(exp(cos)) / d delta at 1e-4 by formula, without automatic differentiation."""
    u_ND = ratios[0] * x_ND @ (weights[0] + 1e-4) + (1 - ratios[0]) * x_ND
    v_KD = ratios[1] * t_KD @ (weights[1] + 1e-4) + (1 - ratios[1]) * t_KD
    slope_DD = np.zeros_like(weights[0])
    for (u_D, x_D), (v_D, t_D) in itertools.product(
        zip(u_ND, x_ND, strict=True), zip(v_KD, t_KD, strict=True)
    ):
        lengths = np.linalg.norm(u_D) + 1e-6, np.linalg.norm(v_D) + 1e-6
        cosine = u_D @ v_D / lengths[0] / lengths[1]
        by_u_D = v_D / lengths[0] / lengths[1] - cosine / lengths[0] * u_D / np.linalg.norm(u_D)
        by_v_D = u_D / lengths[0] / lengths[1] - cosine / lengths[1] * v_D / np.linalg.norm(v_D)
        slope_DD += np.exp(cosine) * (
            ratios[0] * np.outer(x_D, by_u_D) + ratios[1] * np.outer(t_D, by_v_D)
        )
    return slope_DD


def entropy(logits_NK: NDArray[np.float64], labels_N: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy."""
    rows = zip(logits_NK, labels_N, strict=True)
    return float(np.mean([np.log(np.exp(row - row[y]).sum()) for row, y in rows]))


def mean_of_pairs(
    left_ND: NDArray[np.float64], right_ND: NDArray[np.float64], labels_N: NDArray[np.int64]
) -> float:
    """Return the alignment as a double loop over all pairs."""
    count = len(labels_N)
    pairs = itertools.product(range(count), repeat=2)
    same = [left_ND[n] @ right_ND[m] for n, m in pairs if labels_N[n] == labels_N[m]]
    return float(sum(same)) / count**2


def plain_losses(
    arrays: dict[str, NDArray[Any]], *, edr: str, uses_shifted: bool
) -> dict[str, float]:
    """Return what the authors' code computes, transcribed on its own: numpy and loops."""
    x_ND, t_KD, y_N = arrays["image_features"], arrays["text_features"], arrays["labels"]
    w_i, w_t, p_DD = arrays["theta_image"], arrays["theta_text"], arrays["generator"]
    r_i, r_t = float(arrays["ratio_image"]), float(arrays["ratio_text"])
    scale, lambda_1 = float(arrays["logit_scale"]), float(arrays["lambda1"])
    u_ND = unit(r_i * (x_ND @ w_i.T) + (1 - r_i) * x_ND)
    v_KD = unit(r_t * (t_KD @ w_t.T) + (1 - r_t) * t_KD)
    x_ND, t_KD = unit(x_ND), unit(t_KD)
    c_ND = unit(u_ND @ p_DD + u_ND)
    of_class = entropy(scale * c_ND @ v_KD.T, y_N)
    if uses_shifted:
        d_ND = r_i * c_ND + (1 - r_i) * (c_ND @ w_i)
        shift = entropy(scale * d_ND @ v_KD.T, y_N) - lambda_1 * mean_of_pairs(c_ND, x_ND, y_N)
        rows_MD = np.vstack([x_ND, c_ND])
    else:
        shift, rows_MD = of_class, x_ND
    slope_DD = slope_of_energy(rows_MD, t_KD, (w_i, w_t), (r_i, r_t))
    size = w_i.size if edr == "setup1" else (len(rows_MD) * len(t_KD)) ** 2
    edr_and_shift = shift + float(arrays["lambda2"]) * (slope_DD**2).sum() / size
    classified = entropy(scale * u_ND @ v_KD.T, y_N)
    return {
        "expected_generator_loss": of_class + lambda_1 * mean_of_pairs(c_ND, u_ND, y_N),
        "expected_cross_entropy": classified,
        "expected_edr_and_shift_loss": edr_and_shift,
        "expected_total_loss": classified + edr_and_shift,
    }


def inputs(*, ratio_text: float = 0.5) -> dict[str, NDArray[Any]]:
    """Return small inputs of a golden file, far from the identity and not symmetric."""
    count, classes, dim = 7, 4, 6
    return {
        "image_features": 3 * drawn(count, dim, seed=1),
        "text_features": drawn(classes, dim, seed=2),
        "labels": np.arange(count) % classes,
        "theta_image": np.eye(dim) + 0.3 * drawn(dim, dim, seed=3),
        "theta_text": np.eye(dim) + 0.3 * drawn(dim, dim, seed=4),
        "generator": np.eye(dim) + 0.3 * drawn(dim, dim, seed=5),
        "ratio_image": np.array(0.3),
        "ratio_text": np.array(ratio_text),
        "lambda1": np.array(5.0),
        "lambda2": np.array(10.0),
        "logit_scale": np.array(20.0),
    }


def plain_values(
    arrays: dict[str, NDArray[Any]], *, edr: str, uses_shifted: bool
) -> dict[str, NDArray[np.float64]]:
    """Return every loss, and its gradients by finite differences."""

    def losses(name: str, change_DD: NDArray[np.float64]) -> dict[str, float]:
        changed = {**arrays, name: arrays[name] + change_DD}
        return plain_losses(changed, edr=edr, uses_shifted=uses_shifted)

    def gradient(name: str, loss: str) -> NDArray[np.float64]:
        slope_DD, step = np.zeros_like(arrays[name]), 1e-5
        for entry in np.ndindex(*slope_DD.shape):
            change_DD = np.zeros_like(slope_DD)
            change_DD[entry] = step
            up, down = losses(name, change_DD), losses(name, -change_DD)
            slope_DD[entry] = (up[loss] - down[loss]) / (2 * step)
        return slope_DD

    values = plain_losses(arrays, edr=edr, uses_shifted=uses_shifted)
    return {
        **{name: np.array(value) for name, value in values.items()},
        "expected_generator_grad": gradient("generator", "expected_generator_loss"),
        "expected_grad_generator": gradient("generator", "expected_total_loss"),
        "expected_grad_theta_image": gradient("theta_image", "expected_total_loss"),
        "expected_grad_theta_text": gradient("theta_text", "expected_total_loss"),
    }


@pytest.mark.parametrize("ratio_text", [0.5, 0.0])
@pytest.mark.parametrize("uses_shifted", [True, False])
@pytest.mark.parametrize("edr", ["setup1", "setup2"])
def test_losses_and_gradients_are_the_published_ones(
    edr: official.Edr, uses_shifted: bool, ratio_text: float
) -> None:
    """Losses equal a transcription in loops; gradients equal its finite differences."""
    arrays = inputs(ratio_text=ratio_text)
    found = golden.recompute(arrays, edr=edr, uses_shifted=uses_shifted)
    for name, expected in plain_values(arrays, edr=edr, uses_shifted=uses_shifted).items():
        tolerance = 1e-12 if expected.ndim == 0 else 1e-6
        largest = max(float(np.abs(expected).max()), 1e-3)
        np.testing.assert_allclose(
            found[name].numpy(), expected, rtol=tolerance, atol=tolerance * largest, err_msg=name
        )


def test_an_unknown_scale_of_the_penalty_is_refused() -> None:
    """There are two."""
    adapter, x_ND = golden.adapter_of(inputs()), torch.ones(2, 6).double()
    with pytest.raises(ConfigError, match="`edr` must be one of setup1, setup2, got 'setup3'"):
        official.energy_gradient(adapter, x_ND, x_ND, edr="setup3")  # type: ignore[arg-type]


def golden_file(folder: Path, name: str, **changes: NDArray[Any] | None) -> Path:
    """Write a golden file of losses that the transcription gives; None leaves an array out."""
    edr, uses_shifted = golden.configuration(Path(name))
    losses = plain_losses(inputs(), edr=edr, uses_shifted=uses_shifted)
    arrays = {**inputs(), **{key: np.array(value) for key, value in losses.items()}, **changes}
    present: dict[str, Any] = {key: value for key, value in arrays.items() if value is not None}
    np.savez(folder / name, **present)
    return folder / name


def golden_status(monkeypatch: pytest.MonkeyPatch, *files: Path) -> int:
    """Return the exit status of ``python -m benchmarks.golden FILE...``."""
    monkeypatch.setattr("sys.argv", ["golden", *map(str, files)])
    return golden.main()


def test_golden_files_pass_in_every_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever the name says; a value that is a little off is found."""
    names = ["setup1_shifted.npz", "setup2_shifted.npz", "setup2_vlcs.npz", "setup2_pacs.npz"]
    assert golden_status(monkeypatch, *(golden_file(tmp_path, name) for name in names)) == 0
    assert "FAILED" not in capsys.readouterr().out
    off = golden_file(tmp_path, "setup1_vlcs.npz")
    mistaken = off.rename(tmp_path / "setup2_shifted.npz")
    assert golden_status(monkeypatch, mistaken) == 1
    assert "total_loss" in capsys.readouterr().out


BREAKS: dict[str, Callable[..., Any]] = {
    "normalise": lambda rows_ND: rows_ND / rows_ND.norm(dim=-1, keepdim=True),
    "shift": lambda u_ND, p_DD: official.normalise(u_ND @ p_DD.T + u_ND),
    "alignment": lambda c_ND, x_ND, labels_N: (c_ND @ x_ND.T).mean() + 0 * labels_N.sum(),
    "_DELTA": lambda: 0.0,
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_formula_fails(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Golden files are sharp enough to see each of them."""
    broken = BREAKS[what]() if what == "_DELTA" else BREAKS[what]
    path = golden_file(tmp_path, "setup2_shifted.npz")
    assert golden_status(monkeypatch, path) == 0
    monkeypatch.setattr(official, what, broken)
    assert golden_status(monkeypatch, path) == 1


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("setup2_pacs.npz", {"generator": None}, "lacks generator"),
        ("setup2_pacs.npz", {"generator": np.eye(5)}, r"`generator` has shape \(5, 5\), not"),
        ("setup2_pacs.npz", {"labels": np.full(7, 4)}, r"`labels` must be whole numbers in 0\.\.3"),
        ("setup2_pacs.npz", {"lambda1": np.array(np.nan)}, "`lambda1` must be finite"),
    ],
)
def test_a_bad_golden_file_is_named(
    name: str,
    changes: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Status 2 tells it from a wrong value."""
    path = golden_file(tmp_path, name, **changes)
    with pytest.raises(golden.BadFile, match=message):
        golden.check(path)
    assert golden_status(monkeypatch, path) == 2
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(("name", "message"), [
    ("other.npz", "the name does not say"), ("setup2_pacs.npz", "not an .npz file"),
])  # fmt: skip
def test_what_is_no_golden_file_is_named(name: str, message: str, tmp_path: Path) -> None:
    """Neither by its name nor by its content; nor is a file that is not there."""
    (tmp_path / name).write_bytes(b"no arrays")
    with pytest.raises(golden.BadFile, match=message):
        golden.check(tmp_path / name)
    with pytest.raises(golden.BadFile, match=r"not an \.npz file"):
        golden.check(tmp_path / "setup1_pacs.npz")


def images(count: int, *, dim: int = 8, classes: int = 3, seed: int = 0) -> Set:
    """Return raw embeddings (N, V, D) around class centres, and labels."""
    rng = np.random.default_rng(seed)
    labels_N = np.arange(count) % classes
    centres_KD = np.random.default_rng(99).standard_normal((classes, dim))
    noise_NVD = 0.7 * rng.standard_normal((count, 2, dim))
    return (5 * (centres_KD[labels_N][:, None] + noise_NVD)).astype(np.float32), labels_N


def text(*, dim: int = 8, classes: int = 3) -> TextSource:
    """Return class features of no particular length that roughly fit."""
    centres_KD = np.random.default_rng(99).standard_normal((classes, dim))
    noise_KD = np.random.default_rng(7).standard_normal((classes, dim))
    features_KD = (centres_KD + noise_KD).astype(np.float32)
    return TextSource(features_KD=features_KD, logit_scale=SCALE, name="made up")


def plain_step(
    state: list[Tensor],
    momenta: list[Tensor],
    batch: tuple[Tensor, Tensor],
    t_KD: Tensor,
    config: TuneConfig,
    lr: float,
) -> None:
    """Take one step as published: plain SGD on all three matrices in both phases, in place."""
    w_i, w_t, p_DD = (matrix.clone().requires_grad_() for matrix in state)
    x_ND, y_N = batch
    r_i, r_t, count = config.ratio_image, config.ratio_text, len(y_N)

    def norm(rows: Tensor) -> Tensor:
        return rows / (1e-6 + rows.pow(2).sum(1, keepdim=True).sqrt())

    def descend(gradients: tuple[Tensor, ...]) -> None:
        for matrix, momentum, gradient in zip(state, momenta, gradients, strict=True):
            momentum.mul_(0.9).add_(gradient + config.decay * matrix)
            matrix.sub_(lr * momentum)

    def now(matrix: Tensor, index: int) -> Tensor:
        """Return the value as it is now, with slopes towards the matrix."""
        return matrix + (state[index] - matrix).detach()

    u_ND = norm(r_i * (x_ND @ w_i.T) + (1 - r_i) * x_ND)  # and never again in this step
    v_KD = norm(r_t * (t_KD @ w_t.T) + (1 - r_t) * t_KD)
    same_NN = (y_N[:, None] == y_N).double()
    for _ in range(config.gen_steps):
        c_ND = norm(u_ND @ now(p_DD, 2) + u_ND)
        loss = cross_entropy(SCALE * c_ND @ v_KD.T, y_N)
        loss = loss + config.lambda_1 * (same_NN * (c_ND @ u_ND.T)).sum() / count**2
        descend(torch.autograd.grad(loss, (w_i, w_t, p_DD), retain_graph=True))
    c_ND = norm(u_ND @ now(p_DD, 2) + u_ND)
    rows_MD, other_KD = norm(x_ND), norm(t_KD)
    if config.gen_steps > 0 and not config.vlcs:
        d_ND = r_i * c_ND + (1 - r_i) * (c_ND @ now(w_i, 0))
        align = (same_NN * (c_ND @ rows_MD.T)).sum() / count**2
        loss = cross_entropy(SCALE * d_ND @ v_KD.T, y_N) - config.lambda_1 * align
        rows_MD = torch.vstack([rows_MD, c_ND])
    else:
        loss = cross_entropy(SCALE * c_ND @ v_KD.T, y_N)
    delta = (1e-4 * torch.ones_like(w_i)).requires_grad_()
    a_MD = norm(r_i * (rows_MD @ (now(w_i, 0) + delta)) + (1 - r_i) * rows_MD)
    b_KD = norm(r_t * (other_KD @ (now(w_t, 1) + delta)) + (1 - r_t) * other_KD)
    total = (a_MD @ b_KD.T).exp().sum()
    squared = torch.autograd.grad(total, delta, create_graph=True)[0].pow(2).sum()
    size = delta.numel() if config.edr == "setup1" else (len(rows_MD) * len(b_KD)) ** 2
    loss = loss + config.lambda_2 * squared / size + cross_entropy(SCALE * u_ND @ v_KD.T, y_N)
    descend(torch.autograd.grad(loss, (w_i, w_t, p_DD)))


@pytest.mark.parametrize("changes", BRANCHES.values(), ids=BRANCHES)
def test_steps_are_the_published_ones(changes: dict[str, Any]) -> None:
    """Three epochs of one batch, weights and momenta included: the same three matrices."""
    config = official_defaults(**{"epochs": 4, **changes})
    embeddings_NVD, labels_N = images(9)
    batch = torch.from_numpy(embeddings_NVD[:, 0]).double(), torch.from_numpy(labels_N)
    model = Model(text(), config).double()
    model.raw_text_KD = model.raw_text_KD.double()
    trainer = OfficialTrainer(model, config)
    trainer.generator_DD.data = trainer.generator_DD.data.double()
    state = [torch.eye(8).double() for _ in range(3)]
    momenta = [torch.zeros(8, 8).double() for _ in range(3)]
    rates = [1e-5, 0.002, 0.001 * (1 + math.cos(math.pi / 4))]
    for lr in rates:
        trainer.epoch(iter([batch]))
        plain_step(state, momenta, batch, model.raw_text_KD, config, lr)
    found = [*model.adapter.parameters(), trainer.generator_DD]
    for mine_DD, theirs_DD in zip(found, state, strict=True):
        assert float((theirs_DD - torch.eye(8)).abs().max()) > 1e-6
        torch.testing.assert_close(mine_DD.detach(), theirs_DD, rtol=0, atol=1e-12)


def test_the_rate_warms_up_for_an_epoch_and_then_follows_a_cosine() -> None:
    """It is not scaled by the logit scale, and ends above zero."""
    config = official_defaults()
    assert [rate(epoch, config) for epoch in (1, 2, 17)] == pytest.approx([1e-5, 0.002, 0.001])
    assert 0 < rate(30, config) < 3e-5


@pytest.mark.parametrize("changes", BRANCHES.values(), ids=BRANCHES)
def test_tuning_runs_and_repeats_itself(changes: dict[str, Any]) -> None:
    """Two runs are identical bit for bit, another seed differs, and all terms are recorded."""
    config = official_defaults(epochs=3, batch_size=8, **changes)
    first, second = (tune(*images(30), text=text(), config=config) for _ in range(2))
    other = tune(*images(30), text=text(), config=replace(config, seed=1))
    assert np.array_equal(first.image_transform_DD, second.image_transform_DD)
    assert np.array_equal(first.prototypes_KD, second.prototypes_KD)
    assert not np.array_equal(first.prototypes_KD, other.prototypes_KD)
    assert set(first.history[-1]) == {"epoch", "cross_entropy", "shifted", "energy_gradient"}


def test_the_head_is_the_model_that_was_tuned() -> None:
    """Raw embeddings through the head give the logits of the adapters."""
    config = official_defaults(epochs=3)
    embeddings_NVD, labels_N = images(40)
    model = Model(text(), config)
    OfficialTrainer(model, config).epoch(
        iter([(torch.from_numpy(embeddings_NVD[:, 0]), torch.from_numpy(labels_N))] * 20)
    )
    known = official.features(
        model.adapter, torch.from_numpy(embeddings_NVD[:, 1]), model.raw_text_KD
    )
    expected_NK = official.logits(known.u_ND, known.v_KD, SCALE).detach().numpy()
    folded = model.fold()
    head = Head(folded.transform_DD, folded.prototypes_KD, SCALE)
    np.testing.assert_allclose(head.logits(embeddings_NVD[:, 1]), expected_NK, atol=2e-4)


def test_the_last_epoch_is_kept_whatever_the_images_to_select_by_say() -> None:
    """Their accuracy is recorded all the same."""
    embeddings_NVD, labels_N = images(40)
    wrong = (embeddings_NVD[:, 0], (labels_N + 1) % 3)
    config = official_defaults(epochs=4, learning_rate=0.05)
    kept = tune(embeddings_NVD, labels_N, text=text(), config=config, select=wrong)
    alone = tune(embeddings_NVD, labels_N, text=text(), config=config)
    assert kept.epoch == 4
    assert np.array_equal(kept.prototypes_KD, alone.prototypes_KD)
    assert all("select_accuracy" in entry for entry in kept.history)


@pytest.mark.parametrize(("count", "sizes"), [(20, [8, 8]), (16, [8, 8]), (7, [7])])
def test_only_full_batches_count_where_there_is_one(
    count: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of an epoch's images is dropped; a set below one batch is taken whole."""
    seen: list[int] = []
    step = OfficialTrainer._step

    def counted(self: OfficialTrainer, x_BD: Tensor, labels_B: Tensor) -> dict[str, float]:
        seen.append(len(labels_B))
        return step(self, x_BD, labels_B)

    monkeypatch.setattr(OfficialTrainer, "_step", counted)
    config = official_defaults(epochs=1, batch_size=8)
    tune(*images(count), text=text(), config=config)
    assert seen == sizes


def test_the_authors_settings_are_one_call_and_one_recipe_away(tmp_path: Path) -> None:
    """The call, the same settings in a recipe, and a change of one."""
    config = official_defaults()
    assert (config.ratio_image, config.ratio_text, config.gen_steps) == (0.2, 0.5, 1)
    assert (config.lambda_1, config.lambda_2) == (15.0, 10.0)
    assert (config.batch_size, config.learning_rate, config.decay) == (32, 0.002, 0.1)
    assert (config.epochs, config.tuning, config.edr, config.vlcs) == (
        30,
        "adapter",
        "setup2",
        False,
    )
    recipe = tmp_path / "official.toml"
    recipe.write_text(
        '[tune]\nobjective = "official"\nbatch_size = 32\nlearning_rate = 0.002\n'
        "lambda_1 = 15\nlambda_2 = 10\ndecay = 0.1\n"
    )
    assert load_recipe(recipe).tune == config
    assert official_defaults(seed=3) == replace(config, seed=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "official", "tuning": "prompt"}, "defined for adapters only.*'prompt'"),
        ({"objective": "official", "tuning": "prompt+adapter"}, "defined for adapters only"),
        ({"objective": "croft", "vlcs": True}, "`edr` and `vlcs` belong to .*'official'"),
        ({"objective": "croft", "edr": "setup1"}, "`edr` and `vlcs` belong to .*'official'"),
        ({"objective": "official", "edr": "46"}, "`edr` must be one of setup1, setup2, got '46'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    """Rather than ignored."""
    with pytest.raises(ConfigError, match=message):
        TuneConfig(**changes)
