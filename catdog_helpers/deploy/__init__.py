"""Take a model to where there is no Keras: a file, a phone, a web page."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "exporting": ["export"],
        "parity": ["run_exported"],
    },
)
