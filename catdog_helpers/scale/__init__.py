"""Work on more photographs than one machine can: shards, and Ray."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "jobs": ["extract_shards", "predict_shards", "prepare_shards"],
        "storage": ["open_shards"],
    },
)
