"""Compare methods, look inside a network, judge a data set."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "advice": ["advise", "learning_curve", "suspect_labels"],
        "comparison": [
            "balanced_interval",
            "compare_methods",
            "compare_seeds",
            "conclude",
            "holm",
            "mcnemar",
        ],
        "curves": [
            "measure_once",
            "plot_data_size",
            "subsets",
            "sum_up_curves",
        ],
        "facts": ["file_facts"],
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
            "restore_statistics",
            "without_preprocessing",
        ],
        "linear": ["choose_strength", "fit_linear", "linear_head"],
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
