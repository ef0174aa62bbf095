//! Plain text tables for people: the one style of all commands.

use unicode_width::UnicodeWidthStr;

/// Longer cells are cut.
const CELL_WIDTH_MAX: usize = 60;

/// A table with a header and a rule, its cells cut to a width that fits a terminal. Columns of numbers are right-aligned.
pub fn render(columns: &[&str], rows: &[Vec<String>]) -> String {
    lay_out(columns, rows.iter().map(|row| row.iter().map(|cell| cut(cell)).collect()).collect())
}

/// The same with its cells whole, for values that somebody asked for.
pub fn render_whole(columns: &[&str], rows: &[Vec<String>]) -> String {
    lay_out(columns, rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect())
}

fn lay_out(columns: &[&str], rows: Vec<Vec<String>>) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
        cells.chain([columns[column].width()]).max().unwrap_or(0)
    };
    let numeric = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).all(|cell| cell.parse::<f64>().is_ok() || cell.is_empty())
            && !rows.is_empty()
    };
    let layout: Vec<(usize, bool)> = (0..columns.len()).map(|column| (width(column), numeric(column))).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&layout).map(|(cell, (width, right))| pad(cell, *width, *right)).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut columns.iter().copied());
    let rule: Vec<String> = layout.iter().map(|(width, _)| "─".repeat(*width)).collect();
    text += &format!("{}\n", rule.join("  "));
    for row in &rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

fn pad(cell: &str, width: usize, right: bool) -> String {
    let blank = " ".repeat(width.saturating_sub(cell.width()));
    if right { blank + cell } else { cell.to_owned() + &blank }
}

/// The text with control characters replaced by dots: they may come from events and must not reach a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

fn cut(cell: &str) -> String {
    let cell = printable(cell);
    if cell.chars().count() <= CELL_WIDTH_MAX {
        return cell;
    }
    cell.chars().take(CELL_WIDTH_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right_and_text_to_the_left() {
        let rows = [vec!["a".to_owned(), "7".to_owned()], vec!["bcd".to_owned(), "1234".to_owned()]];
        assert_eq!(render(&["page", "views"], &rows), "page  views\n────  ─────\na         7\nbcd    1234\n");
    }

    #[test]
    fn a_value_that_was_asked_for_stays_whole() {
        let long = "x".repeat(100);
        assert!(render_whole(&["id"], &[vec![long.clone()]]).contains(&long));
        assert!(!render(&["id"], &[vec![long.clone()]]).contains(&long));
    }

    #[test]
    fn a_long_cell_is_cut_and_a_control_character_shown_as_a_dot() {
        assert_eq!(cut(&"x".repeat(100)).chars().count(), CELL_WIDTH_MAX);
        assert_eq!(cut("a\u{1b}[31m"), "a·[31m");
    }
}
