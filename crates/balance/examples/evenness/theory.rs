//! What the papers and elementary probability say.

/// Points of the grid on which densities are integrated.
const STEPS: usize = 20_000;

/// The expected largest of `count` independent gamma variables of mean 1 and variance 1 / `shape`.
///
/// The load of an instance on a ring is such a variable relative to the mean: the arcs before its
/// points are nearly independent and exponentially distributed, so `shape` is the number of its
/// points. A finite number of keys adds variance, for which `shape` is the keys of an instance.
pub(crate) fn largest_of(count: usize, shape: f64) -> f64 {
    let sigma = shape.sqrt().recip();
    let low = (1.0 - 10.0 * sigma).max(0.0);
    let high = 1.0 + 20.0 * sigma + 20.0 * sigma * sigma;
    let step = (high - low) / STEPS as f64;
    let density = |x: f64| ((shape - 1.0) * x.ln() - shape * (x - 1.0)).exp();
    let densities: Vec<f64> = (0..STEPS).map(|at| density(low + (at as f64 + 0.5) * step)).collect();
    let total: f64 = densities.iter().sum();
    let mut below = 0.0;
    let mut mean = low;
    for density in densities {
        below += density / total;
        // The mean of a variable is the integral of the probability that it is larger.
        mean += step * (1.0 - below.min(1.0).powf(count as f64));
    }
    mean
}

/// The same for variables whose variances add up.
pub(crate) fn largest_of_both(count: usize, shape: f64, other_shape: f64) -> f64 {
    largest_of(count, (shape.recip() + other_shape.recip()).recip())
}

/// The expected largest load of a Maglev table: the instances with one slot more than the others
/// have the largest.
pub(crate) fn largest_of_maglev(count: usize, slots: usize, keys_of_one: f64) -> f64 {
    let mean = slots as f64 / count as f64;
    mean.ceil() / mean * largest_of(slots % count, keys_of_one)
}

/// The share of keys that jump hash moves between `count` instances and the same without the one at
/// `at`, in either direction.
///
/// The instances behind that one change their buckets, so their keys move. Those stay whose
/// instance is before it, and of the last bucket those that the function happens to put into the
/// bucket that its instance has afterwards.
pub(crate) fn moved_by_jump(count: usize, at: usize) -> f64 {
    let count_f = count as f64;
    if at == count - 1 {
        return 1.0 / count_f;
    }
    1.0 - at as f64 / count_f - 1.0 / (count_f * (count_f - 1.0))
}
