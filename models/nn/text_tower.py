"""A CLIP text encoder, open at its input: tokens or free vectors -> features.

Axes: K texts, L tokens, W width of the text encoder, D embedding, Z size of the vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from models.errors import ConfigError


class TextTower:
    """The frozen text encoder of a CLIP model, from embedded tokens onwards.

    It reads from left to right, and the end-of-text token holds the result, so that whatever
    follows that token is cut off: the same features for a fraction of the 77 positions.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, *, name: str) -> None:
        """Take the parts of an open_clip model.

        Raises:
            ConfigError: the text encoder is of another kind.
        """
        parts: Any = getattr(model, "text", model)
        pool = getattr(parts, "text_pool_type", getattr(parts, "pool_type", None))
        reads_left_to_right = getattr(parts, "attn_mask", None) is not None
        marks_ends = hasattr(tokenizer, "sot_token_id") and hasattr(tokenizer, "eot_token_id")
        appends_token = getattr(parts, "cls_emb", None) is not None
        if pool not in ("argmax", "eos") or not reads_left_to_right or appends_token:
            raise ConfigError(_unsupported(name, type(parts).__name__))
        if not marks_ends or not hasattr(tokenizer, "decoder"):
            raise ConfigError(_unsupported(name, type(tokenizer).__name__))
        self._parts, self._tokenizer, self._name = parts, tokenizer, name

    @property
    def vocabulary_ZW(self) -> Tensor:
        """Embeddings of all tokens, (Z, W)."""
        weight: Tensor = self._parts.token_embedding.weight
        return weight.detach()

    def word(self, token: int) -> str:
        """Return a token as people read it."""
        return str(self._tokenizer.decoder[token]).removesuffix("</w>")

    def special(self) -> list[int]:
        """Return the tokens that are no text."""
        return [int(token) for token in self._tokenizer.all_special_ids]

    def tokens(self, text: str) -> list[int]:
        """Return a text's tokens, without start and end."""
        return [int(token) for token in self._tokenizer.encode(text)]

    def framed(self, tokens_K: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return padded tokens with start and end (K, L), and each end's position (K,).

        Raises:
            ConfigError: a text is longer than the encoder reads.
        """
        last_K = torch.tensor([len(tokens) + 1 for tokens in tokens_K])
        longest, limit = int(last_K.max()) + 1, int(self._parts.context_length)
        if longest > limit:
            raise ConfigError(
                f"A prompt takes {longest} tokens with start and end, and the text encoder of "
                f"`{self._name}` reads {limit}: shorten the context or the class names."
            )
        ids_KL = torch.zeros(len(tokens_K), longest, dtype=torch.long)
        for row, tokens in zip(ids_KL, tokens_K, strict=True):
            framed = [self._tokenizer.sot_token_id, *tokens, self._tokenizer.eot_token_id]
            row[: len(framed)] = torch.tensor(framed)
        return ids_KL, last_K

    def embed(self, ids_KL: Tensor) -> Tensor:
        """Return token embeddings (K, L, W), without positions."""
        embedded: Tensor = self._parts.token_embedding(ids_KL)
        return embedded

    def encode(self, embedded_KLW: Tensor, last_K: Tensor) -> Tensor:
        """Return features (K, D), not normalised; differentiable, twice too."""
        parts, length = self._parts, embedded_KLW.shape[1]
        x_KLW = embedded_KLW + parts.positional_embedding[:length]
        # The fused attention kernels have no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            x_KLW = parts.transformer(x_KLW, attn_mask=parts.attn_mask[:length, :length])
        x_KLW = parts.ln_final(x_KLW)
        pooled_KW = x_KLW[torch.arange(len(last_K)), last_K]
        projection = parts.text_projection
        if projection is None:
            return torch.as_tensor(pooled_KW)
        features_KD: Tensor = (
            projection(pooled_KW) if isinstance(projection, nn.Linear) else pooled_KW @ projection
        )
        return features_KD


def _unsupported(name: str, kind: str) -> str:
    return (
        f"Prompt tuning learns vectors at the input of a CLIP text encoder; `{name}` has another "
        f'kind ({kind}). Use `tuning = "adapter"`, which works with any text features.'
    )
