//! What every buyer was told, as lines of JSON: one purchase a line, so that a file of them can be appended to and cut.
//!
//! `{"id":"demo-1f…","buyer":"b1","quantity":1,"amount":9900,"told":["processing",{"row":"confirmed"}]}`

use sale::books::{Tale, Told};
use sale::order::Status;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    buyer: String,
    quantity: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
    told: Vec<Word>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Row(String),
    Processing,
    Refused,
    Busy,
    Nothing,
}

/// Appends one purchase's line.
pub fn write(tale: &Tale, out: &mut Vec<u8>) {
    let word = |told: &Told| match told {
        Told::Row(status) => Word::Row(status.as_str().to_owned()),
        Told::Processing => Word::Processing,
        Told::Refused => Word::Refused,
        Told::Busy => Word::Busy,
        Told::Nothing => Word::Nothing,
    };
    let line = Line {
        id: tale.id.to_string(),
        buyer: tale.buyer.as_str().to_owned(),
        quantity: tale.quantity,
        amount: tale.amount,
        told: tale.told.iter().map(word).collect(),
    };
    serde_json::to_writer(&mut *out, &line).expect("a line is strings and numbers");
    out.push(b'\n');
}

/// Reads what [`write`] wrote. The error names the line.
pub fn read(text: &str) -> Result<Vec<Tale>, String> {
    let mut tales = Vec::new();
    for (at, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        tales.push(read_line(text).map_err(|what| format!("line {}: {what}", at + 1))?);
    }
    Ok(tales)
}

fn read_line(text: &str) -> Result<Tale, String> {
    let line: Line = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let told = |word: Word| {
        Ok(match word {
            Word::Row(status) => Told::Row(Status::parse(&status).ok_or_else(|| format!("there is no status {status:?}"))?),
            Word::Processing => Told::Processing,
            Word::Refused => Told::Refused,
            Word::Busy => Told::Busy,
            Word::Nothing => Told::Nothing,
        })
    };
    Ok(Tale {
        id: line.id.parse().map_err(|e| format!("{e}"))?,
        buyer: line.buyer.parse().map_err(|e| format!("{e}"))?,
        quantity: line.quantity,
        amount: line.amount,
        told: line.told.into_iter().map(told).collect::<Result<_, String>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tales_come_back_as_they_were_written() {
        let tale = |told: Vec<Told>, amount| Tale {
            id: "demo-00112233445566778899aabbccddeeff".parse().expect("an order's id"),
            buyer: "b-1".parse().expect("a buyer's id"),
            quantity: 2,
            amount,
            told,
        };
        let all = [
            tale(vec![Told::Nothing, Told::Busy, Told::Processing, Told::Row(Status::Confirmed), Told::Row(Status::Paid)], Some(19_800)),
            tale(vec![Told::Refused], None),
        ];
        let mut out = Vec::new();
        all.iter().for_each(|tale| write(tale, &mut out));
        assert_eq!(read(std::str::from_utf8(&out).expect("JSON is UTF-8")), Ok(all.to_vec()));
    }

    #[test]
    fn a_torn_line_is_named() {
        let whole = r#"{"id":"demo-00112233445566778899aabbccddeeff","buyer":"b","quantity":1,"told":["busy"]}"#;
        let said = read(&format!("{whole}\n{}", &whole[..40])).expect_err("the second line is torn");
        assert!(said.starts_with("line 2: "), "{said}");
    }
}
