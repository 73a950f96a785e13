// From the model's outputs to a verdict, as catdog_helpers predict gives it.

/**
 * Judge one photograph.
 *
 * `outputs` are the calibrated `probabilities` and, where the file gives it,
 * the `distance` from the training images. `card` is model.json:
 * `class_names`; `not_sure_below`, the least probability of a verdict with
 * one class; and `strange_above`, the largest distance of any verdict.
 */
export function judge({ probabilities, distance }, card) {
  const names = card.class_names;
  const order = probabilities.map((_, i) => i);
  order.sort((a, b) => probabilities[b] - probabilities[a]);
  const best = names[order[0]];
  const probability = probabilities[order[0]];
  let verdict = best;
  if (distance && distance[0] > card.strange_above) {
    verdict = "not sure";
  } else if (probability < card.not_sure_below) {
    const two = order.slice(0, 2).sort((a, b) => a - b);
    verdict = two.map((i) => names[i]).join(" or ");
  }
  return { verdict, class: best, probability, probabilities, order };
}
