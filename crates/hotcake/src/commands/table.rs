//! Plain tables for a terminal, as wide as what stands in them. Knows no verb.

/// Rows under their heads, columns aligned; what is a number stands right.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let clean = |text: &str| text.chars().map(|c| if c.is_control() { '·' } else { c }).collect::<String>();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).chain([heads[at].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let numbers: Vec<bool> = (0..heads.len()).map(|at| !rows.is_empty() && rows.iter().all(|row| row[at].parse::<i64>().is_ok())).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().enumerate().map(|(at, cell)| {
            let gap = " ".repeat(widths[at] - cell.chars().count());
            if numbers[at] { format!("{gap}{cell}") } else { format!("{cell}{gap}") }
        });
        let mut line = padded.collect::<Vec<_>>().join("  ").trim_end().to_owned();
        line.push('\n');
        line
    };
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let mut out = line(&heads);
    rows.iter().for_each(|row| out.push_str(&line(row)));
    out
}

/// A field of an answer as text; `–` when it is not there.
pub fn field(value: &serde_json::Value, name: &str) -> String {
    match &value[name] {
        serde_json::Value::Null => "–".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
