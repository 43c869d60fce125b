"""Learned prompts: context vectors in front of the class names, read by the frozen text encoder.

Axes: K classes, L context vectors, M tokens of a prompt, W width of the text encoder, D embedding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.errors import ConfigError
from models.nn.text_tower import TextTower


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
        start = _fill(tower.tokens(words), length, words)
        ids_KM, self._last_K = tower.framed([[*start, *tower.tokens(f"{n}.")] for n in names_K])
        with torch.no_grad():
            embedded_KMW = tower.embed(ids_KM)
        self._unit = float(tower.vocabulary_ZW.square().sum(dim=1).mean().sqrt())
        first, after = embedded_KMW[:, :1], embedded_KMW[:, 1 + len(start) :]
        self._first_K1W, self._rest_KMW = first, after
        context_KLW = embedded_KMW[:, 1 : 1 + len(start)] / self._unit
        initial = context_KLW if class_specific else context_KLW[0]
        self.initial = initial.clone()
        self.context = nn.Parameter(initial.clone())
        self._tower, self._names_K = tower, list(names_K)

    def forward(self) -> Tensor:
        """Return text features (K, D), not normalised."""
        context_KLW = self._unit * self.context.expand(len(self._names_K), -1, -1)
        embedded_KMW = torch.cat([self._first_K1W, context_KLW, self._rest_KMW], dim=1)
        return self._tower.encode(embedded_KMW, self._last_K)

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
