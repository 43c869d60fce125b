"""Learned prompts: context vectors in front of the class names, read by the frozen text encoder.

Axes: K classes, L context vectors, M tokens of a prompt, W width of the text encoder, D embedding.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from models.errors import ConfigError
from models.nn.text_tower import TextTower

_NAMES_AT_ONCE: Final = 256


class Prompts(nn.Module):
    """``[context] class name.`` with a trainable context (Zhou et al., CoOp, IJCV 2022).

    The context is kept in units of the vocabulary's root mean square length, so that step sizes
    and penalties mean the same for every text encoder.
    """

    def __init__(
        self,
        tower: TextTower,
        names_K: Sequence[str],
        *,
        words: str,
        length: int | None = None,
        class_specific: bool = False,
    ) -> None:
        """Start from the embeddings of words.

        Args:
            tower: the frozen text encoder.
            names_K: what the classes are called.
            words: the initial context, such as "a photo of a".
            length: L. None for as many as the words' tokens; the words are repeated to fill more,
                and cut at the front for fewer.
            class_specific: a context for each class rather than one for all.

        Raises:
            ConfigError: no words, or prompts longer than the text encoder reads.
        """
        super().__init__()
        self._start = _fill(tower.tokens(words), length, words)
        self._tower, self._names_K = tower, list(names_K)
        self._embedded_KMW, self._last_K = self._framed(names_K)
        self._unit = float(tower.vocabulary_ZW.square().sum(dim=1).mean().sqrt())
        context_KLW = self._embedded_KMW[:, 1 : 1 + len(self._start)] / self._unit
        initial = context_KLW if class_specific else context_KLW[0]
        self.initial = initial.clone()
        self.context = nn.Parameter(initial.clone())

    def forward(self) -> Tensor:
        """Return text features (K, D), not normalised."""
        return self._encode(self.context, self._embedded_KMW, self._last_K)

    @torch.no_grad()
    def of_others(self, names: Sequence[str]) -> Tensor:
        """Return features of names that are no class, a row each, not normalised.

        They stand behind the learned context; of contexts of classes, behind their mean.

        Raises:
            ConfigError: a prompt is longer than the text encoder reads.
        """
        shared_LW = self.context if self.context.ndim == 2 else self.context.mean(dim=0)
        parts = [names[at : at + _NAMES_AT_ONCE] for at in range(0, len(names), _NAMES_AT_ONCE)]
        return torch.cat([self._encode(shared_LW, *self._framed(part)) for part in parts])

    def _framed(self, names_K: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return embedded prompts (K, M, W) with the initial context, and their ends (K,)."""
        tower = self._tower
        ids_KM, last_K = tower.framed([[*self._start, *tower.tokens(f"{n}.")] for n in names_K])
        with torch.no_grad():
            return tower.embed(ids_KM), last_K

    def _encode(self, context: Tensor, embedded_KMW: Tensor, last_K: Tensor) -> Tensor:
        context_KLW = self._unit * context.expand(len(embedded_KMW), -1, -1)
        before_K1W, after_KMW = embedded_KMW[:, :1], embedded_KMW[:, 1 + len(self._start) :]
        return self._tower.encode(torch.cat([before_K1W, context_KLW, after_KMW], dim=1), last_K)

    @torch.no_grad()
    def readable(self) -> list[str]:
        """Return the vocabulary's nearest token for each context vector.

        One string a vector for a shared context; one line a class, ``name: tokens``, otherwise.
        A likeness for people to read: the vectors are seldom close to any word.
        """
        if self.context.ndim == 2:
            return self._nearest(self.context)
        rows = zip(self._names_K, self.context, strict=True)
        return [f"{name}: {' '.join(self._nearest(rows_LW))}" for name, rows_LW in rows]

    def _nearest(self, context_LW: Tensor) -> list[str]:
        distances_LZ = torch.cdist(self._unit * context_LW, self._tower.vocabulary_ZW)
        distances_LZ[:, self._tower.special()] = torch.inf
        return [self._tower.word(int(token)) for token in distances_LZ.argmin(dim=1)]


def _fill(tokens: Sequence[int], length: int | None, words: str) -> list[int]:
    if not tokens:
        raise ConfigError(f"`context_words` must hold at least one word, got {words!r}.")
    wanted = len(tokens) if length is None else length
    repeats = -(-wanted // len(tokens))
    return (list(tokens) * repeats)[-wanted:]
