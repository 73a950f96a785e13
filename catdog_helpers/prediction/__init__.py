"""Find photographs, name what is on them, keep the answers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "answers": ["Answers"],
        "photographs": ["find_photographs"],
        "predictor": ["predict"],
    },
)
