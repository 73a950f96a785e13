"""From a folder or an archive to images that are decoded once and split."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "images": ["read_image"],
        "lists": ["read_labels"],
        "layout": ["index_images", "species_of"],
        "manifest": [
            "has_other_label",
            "is_odd",
            "provenance",
            "read_manifest",
            "summarize",
        ],
        "prepared": ["prepare"],
        "runs": ["Run", "check_split", "load_run", "save_split"],
        "sources": ["dataset_dir", "fetch"],
        "splits": ["split", "split_rows"],
    },
)
