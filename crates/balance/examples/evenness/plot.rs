//! The figures as SVG.

use std::fmt::Write;

use crate::{COUNTS, Load, Moves, POINTS, theory};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;

/// One for each number of instances; told apart by people who see few colours.
const COLOURS: [&str; 3] = ["#0072b2", "#d55e00", "#009e73"];

const GREY: &str = "#666666";

/// A part of the picture with axes.
struct Panel {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Panel {
    /// The x of a share between 0 and 1 of the width.
    fn x(&self, share: f64) -> f64 {
        self.left + share * (self.right - self.left)
    }

    /// The y of a share between 0 and 1 of the height, from below.
    fn y(&self, share: f64) -> f64 {
        self.bottom - share * (self.bottom - self.top)
    }

    fn frame(&self, svg: &mut String, title: &str) {
        let (left, top) = (self.left, self.top);
        let (width, height) = (self.right - left, self.bottom - top);
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"{GREY}\"/>"
        );
        text(svg, self.x(0.5), top - 14.0, "middle", title);
    }
}

/// The value's place between two others on a logarithmic scale.
fn log_share(value: f64, low: f64, high: f64) -> f64 {
    (value / low).ln() / (high / low).ln()
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    );
}

/// The whole picture: how even the load is on the left, how many keys move on the right.
pub(crate) fn svg(loads: &[Load], moves: &[Moves]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let panel = Panel { left: 62.0, right: 482.0, top: 40.0, bottom: 370.0 };
    evenness(&mut svg, &panel, loads);
    let panel = Panel { left: 660.0, right: 930.0, top: 40.0, bottom: 370.0 };
    movement(&mut svg, &panel, moves);
    svg.push_str("</svg>\n");
    svg
}

/// The largest load over the points of an instance. Both scales are logarithmic; the vertical one
/// is of the load beyond the mean.
fn evenness(svg: &mut String, panel: &Panel, loads: &[Load]) {
    panel.frame(svg, "Largest load above the mean: lines are theory, dots measured");
    let place = |points: f64, load: f64| {
        let x = panel.x(log_share(points, 0.8, 3_200.0));
        (x, panel.y(log_share(load - 1.0, 0.01, 10.0)))
    };
    for points in POINTS {
        text(svg, place(f64::from(points), 2.0).0, panel.bottom + 18.0, "middle", &points.to_string());
    }
    text(svg, panel.x(0.5), panel.bottom + 36.0, "middle", "points of each instance on the ring");
    for percent in [1, 10, 100, 1_000] {
        let y = place(1.0, 1.0 + f64::from(percent) / 100.0).1;
        text(svg, panel.left - 5.0, y + 4.0, "end", &format!("{percent} %"));
        line(svg, (panel.left, y), (panel.right, y), "#dddddd");
    }
    for (at, (count, colour)) in COUNTS.iter().zip(COLOURS).enumerate() {
        let keys = crate::KEYS as f64 / *count as f64;
        let steps = (0..=60).map(|step| 2_560.0_f64.powf(f64::from(step) / 60.0));
        let curve: Vec<String> = steps
            .map(|points| place(points, theory::largest_of_both(*count, points, keys)))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let curve = curve.join(" ");
        let _ = writeln!(svg, "<polyline points=\"{curve}\" fill=\"none\" stroke=\"{colour}\"/>");
        let rings = loads.iter().filter_map(|load| Some((load.points?, &load.largest[at])));
        for (points, measured) in rings {
            let (smallest, largest) = measured.range();
            let (points, low) = (f64::from(points), smallest.max(1.01));
            line(svg, place(points, low), place(points, largest), colour);
            let (x, y) = place(points, measured.mean());
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let y = panel.top + 20.0 + 16.0 * at as f64;
        line(svg, (panel.x(0.68), y - 4.0), (panel.x(0.74), y - 4.0), colour);
        text(svg, panel.x(0.76), y, "start", &format!("{count} instances"));
    }
}

/// The share of keys that move when an instance is added, as bars on a logarithmic scale.
fn movement(svg: &mut String, panel: &Panel, moves: &[Moves]) {
    panel.frame(svg, &format!("Keys that move when {} instances get one more", crate::COUNT));
    let x = |share: f64| panel.x(log_share(share, 0.005, 1.0));
    for percent in [1, 10, 100] {
        let at = x(f64::from(percent) / 100.0);
        text(svg, at, panel.bottom + 18.0, "middle", &format!("{percent} %"));
        line(svg, (at, panel.top), (at, panel.bottom), "#dddddd");
    }
    let height = 1.0 / moves.len() as f64;
    for (at, Moves { name, added, .. }) in moves.iter().enumerate() {
        let share = added.mean();
        let (top, middle) =
            (panel.y(1.0 - height * (at as f64 + 0.2)), panel.y(1.0 - height * (at as f64 + 0.5)));
        let (width, bar) = (x(share) - panel.left, 0.6 * height * (panel.bottom - panel.top));
        let colour = COLOURS[0];
        let _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{bar:.1}\" fill=\"{colour}\"/>",
            panel.left
        );
        text(svg, panel.left - 6.0, middle + 4.0, "end", name);
        let fits = share < 0.3;
        let (anchor, place) = if fits { ("start", x(share) + 5.0) } else { ("end", x(share) - 5.0) };
        let label = format!("{:.2} %", 100.0 * share);
        let fill = if fits { "black" } else { "white" };
        let _ = writeln!(
            svg,
            "<text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{label}</text>",
            middle + 4.0
        );
    }
    let least = x(1.0 / (crate::COUNT + 1) as f64);
    line(svg, (least, panel.top), (least, panel.bottom), COLOURS[1]);
    text(svg, least, panel.bottom + 36.0, "middle", "fewest possible");
}
