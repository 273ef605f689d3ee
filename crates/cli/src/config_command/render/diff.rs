//! What differs between two texts, by lines.

/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;

/// Pairs of lines that are compared at most; longer texts are shown as replaced in one piece.
const PAIRS_MAX: usize = 4_000_000;

/// A line of the comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line<'t> {
    Same(&'t str),
    Old(&'t str),
    New(&'t str),
}

/// The difference with `-` before old lines, `+` before new ones, and a few lines around them.
/// Empty if the texts are equal.
pub(super) fn diff(old: &str, new: &str) -> String {
    let lines = compare(&split(old), &split(new));
    let is_change = |line: &Line<'_>| !matches!(line, Line::Same(_));
    let near = |at: usize| {
        let range = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(lines.len());
        lines[range].iter().any(is_change)
    };
    let mut text = String::new();
    let mut was_shown = true;
    for (at, line) in lines.iter().enumerate() {
        let is_shown = near(at);
        if is_shown {
            if !was_shown {
                text.push_str("...\n");
            }
            let (sign, line) = match *line {
                Line::Same(line) => (' ', line),
                Line::Old(line) => ('-', line),
                Line::New(line) => ('+', line),
            };
            text.push(sign);
            text.push_str(line);
            if !line.ends_with('\n') {
                text.push_str("\n\\ no newline at the end\n");
            }
        }
        was_shown = is_shown;
    }
    text
}

fn split(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn compare<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let ends = old_rest.iter().rev().zip(new_rest.iter().rev());
    let end = ends.take_while(|(old, new)| old == new).count();
    let old_middle = &old_rest[..old_rest.len() - end];
    let new_middle = &new_rest[..new_rest.len() - end];
    let mut lines: Vec<Line<'t>> = old[..start].iter().map(|line| Line::Same(line)).collect();
    lines.extend(middle(old_middle, new_middle));
    lines.extend(old_rest[old_rest.len() - end..].iter().map(|line| Line::Same(line)));
    lines
}

/// The longest common subsequence by the table of its lengths.
fn middle<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    if old.len().saturating_mul(new.len()) > PAIRS_MAX {
        let removed = old.iter().map(|line| Line::Old(line));
        return removed.chain(new.iter().map(|line| Line::New(line))).collect();
    }
    let width = new.len() + 1;
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            lengths[i * width + j] = if old[i] == new[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || i < old.len() && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]
        {
            lines.push(Line::Old(old[i]));
            i += 1;
        } else {
            lines.push(Line::New(new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_the_lines_around_it() {
        assert_eq!(diff("a\nb\n", "a\nb\n"), "");
        assert_eq!(diff("", "a\n"), "+a\n");
        assert_eq!(diff("a", "a\n"), "-a\n\\ no newline at the end\n+a\n");
        assert_eq!(diff("a\nb\nc\nd\ne\nf\ng\n", "a\nb\nc\nd\ne\nF\ng\n"), "...\n c\n d\n e\n-f\n+F\n g\n");
        assert_eq!(diff("a\nb\nc\n", "b\nx\nc\n"), "-a\n b\n+x\n c\n");
    }

    #[test]
    fn long_texts_are_replaced_in_one_piece() {
        let text = |sign: char| (0..2_100).map(|n| format!("{sign}{n}\n")).collect::<String>();
        assert_eq!(diff(&text('a'), &text('b')).lines().count(), 4_200);
    }
}
