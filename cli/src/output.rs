//! What a command shows: JSON exactly as the API says it, or a table for people.
//!
//! Much of what is shown was written by devices, by models and by whatever answers at the server's address.
//! None of it may drive the terminal: all text passes through [`printable`] or [`escaped`].

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::Serialize;

use crate::failure::Failure;

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: the API's own views.
    Json,
}

/// How results are printed. The same for every command.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Print results as
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    output: Format,
    /// The same as --output json
    #[arg(long, global = true, conflicts_with = "output")]
    json: bool,
}

impl OutputArgs {
    /// The format asked for.
    pub fn format(self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// Something that a command can show both ways.
pub trait Shown: Serialize {
    /// The table (or the lines) for people, without a newline at the end. `now` turns times into ages.
    fn text(&self, now: Timestamp) -> String;
}

/// Prints results to standard output, and remarks about them to standard error.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
    clock: fn() -> Timestamp,
}

impl Output {
    /// Prints in this format, with ages by this clock.
    pub fn new(format: Format, clock: fn() -> Timestamp) -> Self {
        Self { format, clock }
    }

    /// What the clock says.
    pub fn now(self) -> Timestamp {
        (self.clock)()
    }

    /// Results go to a program, so nothing else may stand on standard output.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Bars may be drawn: a person sees standard error in a terminal and did not ask for JSON.
    pub fn is_live(self) -> bool {
        !self.is_json() && std::io::stderr().is_terminal()
    }

    /// Shows a result.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn show(self, result: &impl Shown) -> Result<(), Failure> {
        match self.format {
            Format::Table => print_line(&printable(&result.text(self.now()))),
            Format::Json => print_line(&escaped(&pretty(result))),
        }
    }

    /// Shows one of many results, one line each as JSON: what is watched is a stream.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn show_next(self, result: &impl Shown) -> Result<(), Failure> {
        match self.format {
            Format::Table => print_line(&printable(&result.text(self.now()))),
            // Views are plain data with string keys: serialising them cannot fail.
            Format::Json => {
                print_line(&escaped(&serde_json::to_string(result).unwrap_or_default()))
            }
        }
    }

    /// Says something beside the result. It goes to standard error, so pipes stay clean.
    pub fn remark(self, text: impl std::fmt::Display) {
        eprintln!("{}", printable(&text.to_string()));
    }
}

fn drives_a_terminal(c: char) -> bool {
    c.is_control() && c != '\n'
}

/// Text for a terminal: what could move its cursor, recolour it or answer for the person is made visible.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(drives_a_terminal) {
        text.replace(drives_a_terminal, "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// The same JSON with every control character escaped; JSON itself leaves some of them as they are.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if drives_a_terminal(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

fn pretty(result: &impl Serialize) -> String {
    // Views are plain data with string keys: serialising them cannot fail.
    serde_json::to_string_pretty(result).unwrap_or_default()
}

fn print_line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}") {
        Ok(()) => Ok(()),
        // `espalier … | head` closed the pipe: it has seen enough.
        Err(err) if err.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Failure::File {
            action: "write",
            path: "standard output".into(),
            source,
        }),
    }
}

/// A table of rows under `headings`; `empty` is said instead when there are none.
pub fn rows<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    empty: &str,
) -> String {
    let mut table = plain_table();
    table.set_header(headings.map(str::to_uppercase));
    table.add_rows(rows);
    if table.row_count() == 0 {
        empty.to_owned()
    } else {
        laid_out(table)
    }
}

/// The facts of one thing, a line each.
pub fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = plain_table();
    for (name, value) in facts {
        table.add_row([format!("{name}:"), value]);
    }
    laid_out(table)
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Columns two spaces apart, without padding at the ends of lines: that would be noise in a paste.
fn laid_out(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .to_string()
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::{facts, rows};

    #[test]
    fn rows_line_up_under_their_headings() {
        let table = rows(
            ["name", "class"],
            [
                ["a".into(), "edge".into()],
                ["long-name".into(), "x".into()],
            ],
            "none",
        );
        assert_eq!(table, "NAME       CLASS\na          edge\nlong-name  x");
    }

    #[test]
    fn no_rows_say_so_in_words() {
        assert_eq!(rows(["name"], [], "No devices yet."), "No devices yet.");
    }

    #[test]
    fn facts_line_up_after_their_names() {
        assert_eq!(
            facts([("id", "7".into()), ("longer", "x".into())]),
            "id:      7\nlonger:  x"
        );
    }
}
