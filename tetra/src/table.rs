//! Tables as kubectl prints them: columns as wide as their widest cell, three blanks between them.

/// Blanks between columns.
const GAP: usize = 3;

/// The rows as lines, without newlines. The last column is not padded.
pub(crate) fn lines<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0));
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                line.push_str(cell);
                if column + 1 < N {
                    line.extend(std::iter::repeat_n(' ', widths[column] + GAP - width(cell)));
                }
            }
            line
        })
        .collect()
}

/// A byte count in decimal units: `999 B`, `2.40 MB`.
pub(crate) fn bytes(count: u64) -> String {
    if count < 1000 {
        return format!("{count} B");
    }
    let (mut divisor, mut unit) = (1000u64, 0);
    while count / divisor >= 1000 {
        divisor *= 1000;
        unit += 1;
    }
    let unit = ["k", "M", "G", "T", "P", "E"][unit];
    // Two digits are shown: what a double loses lies far below them.
    let value = count as f64 / divisor as f64;
    format!("{value:.2} {unit}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_their_widest_cell() {
        let row = |a: &str, b: &str, c: &str| [a.to_owned(), b.to_owned(), c.to_owned()];
        assert_eq!(
            lines(&[row("ID", "NAME", "X"), row("10", "é", ""), row("1", "", "y")]),
            ["ID   NAME   X", "10   é      ", "1           y"]
        );
    }

    #[test]
    fn byte_counts() {
        for (count, wanted) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (2_400_000, "2.40 MB"),
            (4_458_824, "4.46 MB"),
            (u64::MAX, "18.45 EB"),
        ] {
            assert_eq!(bytes(count), wanted);
        }
    }
}
