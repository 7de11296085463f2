//! HTTP/1.1 as the load generator speaks it: requests written by hand into one buffer, answers read without copying.
//! Knows no purchase and no time.

use sale::words::{OrderId, SaleId};

/// Longest answer that is read; the server's own are below two kilobytes.
pub const ANSWER_MAX: usize = 256 * 1024;

/// Writes requests of one sale to one server.
pub struct Requests {
    host: String,
    buy_head: Vec<u8>,
    buy_tail: Vec<u8>,
}

/// An answer, in the bytes that it came in.
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u32>,
    /// `Location`.
    pub location: Option<&'a str>,
    /// Whether the server closes the connection after it.
    pub close: bool,
    /// The whole body.
    pub body: &'a [u8],
}

/// What reading a connection's bytes came to.
pub enum Read<'a> {
    /// More must come.
    Partial,
    /// An answer and how many bytes it took.
    Whole(Answer<'a>, usize),
    /// Not an answer that this client can read.
    Broken(&'static str),
}

impl Requests {
    /// `wait_s`: the `Prefer: wait` of a purchase; zero leaves it out.
    pub fn new(host: &str, sale: SaleId, quantity: u32, wait_s: u32) -> Self {
        let body = format!(r#"{{"quantity":{quantity}}}"#);
        let prefer = if wait_s == 0 { String::new() } else { format!("Prefer: wait={wait_s}\r\n") };
        let buy_head = format!("POST /v1/sales/{sale}/orders HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer ");
        let buy_tail = format!("\r\nContent-Type: application/json\r\n{prefer}Content-Length: {}\r\n\r\n{body}", body.len());
        Self { host: host.to_owned(), buy_head: buy_head.into(), buy_tail: buy_tail.into() }
    }

    /// A purchase.
    pub fn buy(&self, out: &mut Vec<u8>, token: &[u8], key: &[u8]) {
        out.extend_from_slice(&self.buy_head);
        out.extend_from_slice(token);
        out.extend_from_slice(b"\r\nIdempotency-Key: ");
        out.extend_from_slice(key);
        out.extend_from_slice(&self.buy_tail);
    }

    /// A look at an order, at the `path` that a `Location` named or at its own. `wait_s` long-polls.
    pub fn look(&self, out: &mut Vec<u8>, token: &[u8], path: &str, wait_s: u32) {
        let join = if path.contains('?') { '&' } else { '?' };
        self.get(out, &format!("{path}{join}wait={wait_s}"), token);
    }

    /// A cancel or a payment. The key makes a payment that is sent again the same payment.
    pub fn act(&self, out: &mut Vec<u8>, token: &[u8], order: OrderId, verb: &str, key: &[u8]) {
        let head = format!("POST /v1/orders/{order}/{verb} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer ", self.host);
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(token);
        out.extend_from_slice(b"\r\nIdempotency-Key: ");
        out.extend_from_slice(key);
        out.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
    }

    /// Any GET; what warms a connection up.
    pub fn get(&self, out: &mut Vec<u8>, path: &str, token: &[u8]) {
        out.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer ", self.host).as_bytes());
        out.extend_from_slice(token);
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// The Idempotency-Key of purchase `number` in run `run`: always 32 bytes, so that every request has one length.
pub fn key_of(run: u32, number: u32) -> [u8; 32] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    // Mixed, so that keys look like what clients send; the number stands in them, so that no two are equal.
    let mixed = (u64::from(run) << 32 | u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = u128::from(run) << 96 | u128::from(number) << 64 | u128::from(mixed);
    std::array::from_fn(|at| HEX[(value >> (124 - 4 * at) & 15) as usize])
}

/// Reads one answer from the start of `bytes`.
pub fn read(bytes: &[u8]) -> Read<'_> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() > ANSWER_MAX => return Read::Broken("the head of an answer is too long"),
        Ok(httparse::Status::Partial) => return Read::Partial,
        Err(_) => return Read::Broken("not HTTP/1.1"),
    };
    let mut answer = Answer { status: head.code.unwrap_or(0), retry_after_s: None, location: None, close: false, body: &[] };
    let mut content = 0;
    for header in head.headers.iter() {
        let text = || std::str::from_utf8(header.value).ok().map(str::trim);
        // By length first: most headers are none of these.
        match header.name.len() {
            14 if header.name.eq_ignore_ascii_case("content-length") => content = text().and_then(|t| t.parse().ok()).unwrap_or(0),
            11 if header.name.eq_ignore_ascii_case("retry-after") => answer.retry_after_s = text().and_then(|t| t.parse().ok()),
            8 if header.name.eq_ignore_ascii_case("location") => answer.location = text(),
            10 if header.name.eq_ignore_ascii_case("connection") => answer.close = text().is_some_and(|t| t.eq_ignore_ascii_case("close")),
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                return Read::Broken("the answer is chunked; this client reads Content-Length only");
            }
            _ => {}
        }
    }
    if content > ANSWER_MAX {
        return Read::Broken("the answer is too long");
    }
    let end = length + content;
    if bytes.len() < end {
        return Read::Partial;
    }
    answer.body = &bytes[length..end];
    Read::Whole(answer, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_at_every_cut() {
        let whole = b"HTTP/1.1 202 Accepted\r\nLocation: /v1/orders/a?ticket=b\r\nretry-after: 2\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1";
        let end = whole.len() - 8;
        for cut in 0..end {
            assert!(matches!(read(&whole[..cut]), Read::Partial), "at {cut}");
        }
        let Read::Whole(answer, taken) = read(whole) else { panic!("it is whole") };
        assert_eq!(
            (answer.status, answer.retry_after_s, answer.location, answer.body, taken),
            (202, Some(2), Some("/v1/orders/a?ticket=b"), &b"hello"[..], end)
        );
    }

    #[test]
    fn what_is_not_http_is_broken() {
        assert!(matches!(read(b"SSH-2.0-x\r\n\r\n"), Read::Broken(_)));
        assert!(matches!(read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Read::Broken(_)));
    }

    #[test]
    fn keys_differ() {
        let keys: std::collections::BTreeSet<_> = (0..100).flat_map(|number| [key_of(1, number), key_of(2, number)]).collect();
        assert_eq!(keys.len(), 200);
        assert!(keys.iter().flatten().all(u8::is_ascii_hexdigit));
    }
}
