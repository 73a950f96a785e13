"""Compare methods, look inside a network, judge a data set."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "advice": ["advise", "learning_curve", "suspect_labels"],
        "comparison": ["compare_methods", "conclude", "holm", "mcnemar"],
        "curves": [
            "images_to_match",
            "measure_once",
            "plot_data_size",
            "subsets",
        ],
        "heatmaps": [
            "heat_map",
            "log_odds",
            "plot_heat_maps",
            "value_and_gradient",
        ],
        "inside": [
            "cut_model",
            "nearest_images",
            "plot_features",
            "pooled_features",
        ],
        "mistakes": [
            "advise_class",
            "per_class",
            "plot_confusion",
            "plot_mistakes",
            "plot_reasons",
        ],
        "pictures": [
            "plot_convolution",
            "plot_distances",
            "plot_mcnemar",
            "plot_network",
            "plot_schedule",
            "plot_split",
        ],
    },
)
