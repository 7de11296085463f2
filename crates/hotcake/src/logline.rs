//! One event, one line: whatever a value says, it cannot begin a line or move the cursor.

use std::fmt;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// `message name=value …`, control characters escaped.
#[derive(Debug)]
pub struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer, first: true, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    first: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn add(&mut self, field: &Field, text: &str) {
        let gap = if std::mem::take(&mut self.first) { "" } else { " " };
        let name = if field.name() == "message" { String::new() } else { format!("{}=", field.name()) };
        self.result = self.result.and_then(|()| write!(self.writer, "{gap}{name}")).and_then(|()| escaped(&mut self.writer, text));
    }
}

/// Control characters (of Unicode too: C1, line separators) as escapes.
fn escaped(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    for c in text.chars() {
        if c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            write!(out, "{}", c.escape_default())?;
        } else {
            out.write_char(c)?;
        }
    }
    Ok(())
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Quoted where a space could pass for the end of the value.
        if field.name() != "message" && value.contains(' ') {
            self.add(field, &format!("\"{}\"", value.replace('"', "\\\"")))
        } else {
            self.add(field, value)
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c47_no_value_begins_a_line_or_moves_the_cursor() {
        let check = |text: &str, expect: &str| {
            let mut out = String::new();
            escaped(&mut out, text).expect("a String takes everything");
            assert_eq!(out, expect);
        };
        check("a\r\nERROR fake", "a\\r\\nERROR fake");
        check("\u{1b}[2J", "\\u{1b}[2J");
        check("{\"level\":\"ERROR\"}", "{\"level\":\"ERROR\"}");
        check("\u{2028}\u{85}\u{0}", "\\u{2028}\\u{85}\\u{0}");
        check("\u{202e}gpj", "\\u{202e}gpj");
        check("butter 黄油", "butter 黄油");
    }
}
