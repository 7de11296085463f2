//! One request of the remoting protocol, and its answer: a frame of two lengths, a header in JSON, a body. A connection a
//! request: administration is seldom, and a connection that is kept has to be kept alive.

use crate::Error;
use crate::access::Credentials;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Largest answer that is read: the configuration of a broker with thousands of topics is a few megabytes.
const ANSWER_MAX: usize = 64 << 20;
/// The protocol's version that is claimed: that of the servers of 5.x.
const VERSION: u32 = 475;
const SYSTEM_ERROR: i64 = 1;

#[derive(Deserialize)]
struct Head {
    code: i64,
    #[serde(default)]
    remark: Option<String>,
}

/// A request: its code, its fields (texts all), its body.
pub struct Asked<'a> {
    pub code: u32,
    pub fields: Map<String, Value>,
    pub body: &'a [u8],
}

impl Asked<'_> {
    /// With the key, and a signature over all fields in the order of their names and the body.
    pub fn signed(mut self, credentials: &Credentials) -> Self {
        self.fields.insert("AccessKey".to_owned(), credentials.access_key.as_str().into());
        let names: BTreeSet<&String> = self.fields.keys().collect();
        let texts = names.into_iter().filter_map(|name| self.fields[name].as_str()).map(str::as_bytes);
        let mac = credentials.mac(texts.chain([self.body]));
        self.fields.insert("Signature".to_owned(), BASE64.encode(mac).into());
        self
    }
}

/// Sends a request and reads its answer's body. A code but zero is [`Error::Refused`]; a system error, which may have come after
/// the deed, [`Error::Unknown`].
pub async fn call(address: &str, asked: Asked<'_>, limit: Duration) -> Result<Vec<u8>, Error> {
    let connecting = timeout(limit, TcpStream::connect(address)).await;
    let mut stream = match connecting {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return Err(Error::NotSent(format!("{address}: {e}. Is the server up, and is this its remoting port?"))),
        Err(_) => return Err(Error::NotSent(format!("{address}: no connection within {limit:?}"))),
    };
    let sent = timeout(limit, ask(&mut stream, &frame(asked))).await;
    let (head, body) = match sent {
        Ok(Ok(answer)) => answer,
        Ok(Err(e)) => return Err(Error::unknown(format!("{address}: {e}"))),
        Err(_) => return Err(Error::unknown(format!("{address}: no answer within {limit:?}"))),
    };
    match head.code {
        0 => Ok(body),
        SYSTEM_ERROR => Err(Error::Unknown { code: Some(SYSTEM_ERROR), what: head.remark.unwrap_or_default() }),
        code => Err(Error::Refused { code, what: head.remark.unwrap_or_default() }),
    }
}

fn frame(Asked { code, fields, body }: Asked<'_>) -> Vec<u8> {
    let head = json!({
        "code": code, "language": "RUST", "version": VERSION, "opaque": 1, "flag": 0,
        "serializeTypeCurrentRPC": "JSON", "extFields": fields,
    });
    let head = head.to_string().into_bytes();
    let (all, head_length) = ((4 + head.len() + body.len()) as u32, head.len() as u32);
    // The head length's first byte says how the head is written: zero is JSON.
    [&all.to_be_bytes()[..], &head_length.to_be_bytes(), &head, body].concat()
}

async fn ask(stream: &mut TcpStream, frame: &[u8]) -> std::io::Result<(Head, Vec<u8>)> {
    stream.set_nodelay(true)?;
    stream.write_all(frame).await?;
    let length = stream.read_u32().await? as usize;
    if !(4..=ANSWER_MAX).contains(&length) {
        return Err(std::io::Error::other(format!("an answer of {length} bytes: this is no remoting port")));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    let head_length = u32::from_be_bytes([0, answer[1], answer[2], answer[3]]) as usize;
    let Some((head, body)) = answer[4..].split_at_checked(head_length) else {
        return Err(std::io::Error::other("an answer whose head is longer than itself: this is no remoting port"));
    };
    Ok((serde_json::from_slice(head)?, body.to_vec()))
}
