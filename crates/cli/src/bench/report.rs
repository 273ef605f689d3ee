//! The result, for people and for programs.

use super::summary::{Figure, Series, Spread};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value, json};
use wire::ErrorCode;

/// Above this share of its threads' time the load generator limits a closed loop.
const GENERATOR_LOAD_MAX: f64 = 0.95;

/// All that was measured.
pub(super) struct Report {
    /// The workload and how it was run, as (name, value).
    pub(super) settings: Vec<(&'static str, Value)>,
    /// Label and rounds of each side.
    pub(super) sides: Vec<(String, Series)>,
}

impl Report {
    /// Whether an operation has failed anywhere.
    pub(super) fn has_errors(&self) -> bool {
        self.sides.iter().any(|(_, series)| !series.errors.is_empty())
    }

    /// The table, with remarks below.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        let with_process =
            self.sides.iter().any(|(_, series)| series.spread(Figure::ResidentBytes).is_some());
        let columns: &[Figure] = if with_process { &COLUMNS } else { &COLUMNS[..COLUMNS_WITHOUT_PROCESS] };
        table.set_header(
            [""].into_iter().chain(columns.iter().map(|figure| heading(*figure))).chain(["errors"]),
        );
        for (label, series) in &self.sides {
            let row = |pick: fn(&Spread) -> f64, name: &str, errors: u64| {
                let mut cells = vec![name.to_owned()];
                cells.extend(columns.iter().map(|figure| {
                    series.spread(*figure).map_or("-".into(), |spread| format_figure(*figure, pick(&spread)))
                }));
                cells.push(if name.starts_with("  ") { String::new() } else { errors.to_string() });
                cells
            };
            let errors = series.errors.values().sum();
            table.add_row(row(|spread| spread.median, label, errors));
            if series.rounds.len() > 1 {
                table.add_row(row(|spread| spread.min, "  least", 0));
                table.add_row(row(|spread| spread.max, "  most", 0));
            }
        }
        if let [(_, first), (_, second)] = self.sides.as_slice() {
            for (name, pick) in RATIO_ROWS {
                let cell = |figure: &Figure| {
                    first
                        .ratio(second, *figure)
                        .map_or("-".into(), |spread| format!("× {}", significant(pick(&spread))))
                };
                let cells =
                    [name.to_owned()].into_iter().chain(columns.iter().map(cell)).chain([String::new()]);
                table.add_row(cells);
            }
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = table.to_string();
        for note in self.notes() {
            text.push('\n');
            text.push_str(&note);
        }
        text
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (label, series) in &self.sides {
            for (code, count) in &series.errors {
                let name = ErrorCode::from_i32(*code).map_or("unknown error", ErrorCode::name);
                notes.push(format!("{label}: {count} × {name} ({code})"));
            }
            let load = series.spread(Figure::GeneratorLoad).map_or(0.0, |spread| spread.median);
            if load > GENERATOR_LOAD_MAX {
                notes.push(format!("{label}: the load generator was at its limit; the server can do more"));
            }
        }
        notes
    }

    /// The same as one object.
    pub(super) fn json(&self) -> Value {
        let mut object = Map::new();
        for (name, value) in &self.settings {
            object.insert((*name).into(), value.clone());
        }
        let sides: Vec<_> = self.sides.iter().map(|(label, series)| side_json(label, series)).collect();
        object.insert("sides".into(), sides.into());
        if let [(_, first), (_, second)] = self.sides.as_slice() {
            object.insert("ratio".into(), spreads_json(|figure| first.ratio(second, figure)));
        }
        object.into()
    }
}

fn side_json(label: &str, series: &Series) -> Value {
    let errors: Map<_, _> =
        series.errors.iter().map(|(code, count)| (code.to_string(), json!(count))).collect();
    let rounds: Vec<_> = series
        .rounds
        .iter()
        .map(|round| {
            let figures = Figure::ALL.into_iter();
            figures
                .filter_map(|figure| Some((figure.key().to_owned(), json!(round.get(figure)?))))
                .collect::<Map<_, _>>()
        })
        .collect();
    let summary = spreads_json(|figure| series.spread(figure));
    json!({ "label": label, "summary": summary, "errors": errors, "rounds": rounds })
}

fn spreads_json(spread: impl Fn(Figure) -> Option<Spread>) -> Value {
    let spreads = Figure::ALL.into_iter().filter_map(|figure| Some((figure.key(), spread(figure)?)));
    spreads.map(|(key, spread)| (key.to_owned(), json!(spread))).collect::<Map<_, _>>().into()
}

/// A row of ratios, and which of them it shows.
type RatioRow = (&'static str, fn(&Spread) -> f64);

const RATIO_ROWS: [RatioRow; 3] = [
    ("first / second", |spread| spread.median),
    ("  least", |spread| spread.min),
    ("  most", |spread| spread.max),
];

const COLUMNS: [Figure; 10] = [
    Figure::OperationsPerSecond,
    Figure::P50,
    Figure::P90,
    Figure::P99,
    Figure::P999,
    Figure::Max,
    Figure::GeneratorCpuPerOperation,
    Figure::CpuPerOperation,
    Figure::SwitchesPerOperation,
    Figure::ResidentBytes,
];
/// Those that need no figures of the server process come first.
const COLUMNS_WITHOUT_PROCESS: usize = 7;

fn heading(figure: Figure) -> &'static str {
    match figure {
        Figure::OperationsPerSecond => "op/s",
        Figure::P50 => "p50 µs",
        Figure::P90 => "p90 µs",
        Figure::P99 => "p99 µs",
        Figure::P999 => "p99.9 µs",
        Figure::Max => "max µs",
        Figure::CpuPerOperation => "server CPU µs/op",
        Figure::SwitchesPerOperation => "switches/op",
        Figure::ResidentBytes => "memory MB",
        Figure::GeneratorCpuPerOperation => "own CPU µs/op",
        Figure::GeneratorLoad => "own load",
    }
}

fn format_figure(figure: Figure, value: f64) -> String {
    match figure {
        Figure::OperationsPerSecond | Figure::Max => grouped(value),
        Figure::ResidentBytes => format!("{:.1}", value / 1e6),
        _ => significant(value),
    }
}

/// At least three significant digits, and none behind the point for large numbers.
fn significant(value: f64) -> String {
    match value {
        value if value >= 1000.0 => grouped(value),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

/// A whole number with its thousands apart; small ones keep a digit behind the point.
fn grouped(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_what_matters() {
        let written = [0.0123, 1.234, 12.34, 123.4, 1234.5, 1_234_567.0].map(significant);
        assert_eq!(written, ["0.012", "1.23", "12.3", "123", "1,234", "1,234,567"]);
        assert_eq!([grouped(3.25), grouped(999.6)], ["3.2", "1,000"]);
    }

    #[test]
    fn errors_are_named_below_the_table() {
        let mut series = Series::default();
        series.errors.insert(-101, 5);
        let report =
            Report { settings: vec![("workload", json!("get"))], sides: vec![("a:1".into(), series)] };
        assert!(report.has_errors());
        assert!(report.table().contains("a:1: 5 × NoNode (-101)"), "{}", report.table());
        assert_eq!(report.json()["sides"][0]["errors"]["-101"], 5);
        assert_eq!(report.json()["workload"], "get");
    }
}
