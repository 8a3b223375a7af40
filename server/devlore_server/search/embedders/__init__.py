"""Owns the choice of an embedder by its setting, and one adapter per kind of model in the files beside."""

from importlib import import_module

from devlore_server.search.embedder import Embedder, EmbedderUnavailable
from devlore_server.search.embedders.minilm import MODEL as BUNDLED
from devlore_server.search.embedders.minilm import BundledMiniLM
from devlore_server.search.embedders.openai import OpenAICompatible

__all__ = ["BUNDLED", "BundledMiniLM", "OpenAICompatible", "open_embedder"]


def open_embedder(setting: str = "bundled", key: str | None = None) -> Embedder:
    """Make the embedder a setting names: `bundled`, `fastembed:MODEL`, or `openai:MODEL@URL`.

    Loads nothing and connects to nothing. Raises EmbedderUnavailable for a setting that names nothing.
    """
    if setting in ("", "bundled", BUNDLED):
        return BundledMiniLM()
    kind, _, rest = setting.partition(":")
    name, _, url = rest.partition("@")
    if kind == "openai" and name and url:
        return OpenAICompatible(url, name, key=key)
    if kind == "fastembed" and rest:
        return _fastembed(rest)
    raise EmbedderUnavailable(f"no embedder {setting!r}: use bundled, fastembed:MODEL or openai:MODEL@URL")


def _fastembed(name: str) -> Embedder:
    # Only whoever configures it needs the package, which brings a model downloader.
    try:
        module = import_module("devlore_server.search.embedders.fastembed")
    except ImportError as error:
        raise EmbedderUnavailable(f"embedder fastembed:{name} needs the package fastembed: {error}") from error
    embedder: Embedder = module.Fastembed(name)
    return embedder
