//! Everything that is answered with "no": the stable codes, their HTTP statuses, their words in two languages, and the
//! form of RFC 9457. Knows nothing of what led to them. docs/errors.md explains each code.

use super::context::Context;
use super::envelope::Envelope;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The page that explains every code.
pub const PAGE: &str = "/docs/errors";

/// Which language a sentence is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// English, unless Chinese is asked for.
    En,
    /// Simplified Chinese.
    Zh,
}

impl Language {
    /// What an `Accept-Language` asks for: of zh and en the one with the greater weight, English when in doubt.
    pub fn accepted(text: &str) -> Self {
        let weight = |tag: &str| {
            text.split(',')
                .filter_map(|range| {
                    let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
                    let primary = name.trim().split('-').next()?;
                    primary.eq_ignore_ascii_case(tag).then(|| match parameters.trim().strip_prefix("q=") {
                        Some(q) => q.trim().parse::<f32>().unwrap_or(0.0),
                        None => 1.0,
                    })
                })
                .fold(0.0, f32::max)
        };
        if weight("zh") > weight("en") { Self::Zh } else { Self::En }
    }
}

macro_rules! codes {
    ($($name:ident $word:literal $status:literal $retry:literal $en:literal $zh:literal)*) => {
        /// Why something was not done. The word is the contract; the status is for proxies.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code { $($name),* }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];
            /// The stable word.
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => $word),* } }
            /// The HTTP status.
            pub fn status(self) -> u16 { match self { $(Self::$name => $status),* } }
            /// Seconds after which it is worth trying again; 0: not by itself.
            fn retry_s(self) -> u64 { match self { $(Self::$name => $retry),* } }
            /// What happened and what to do.
            pub fn sentence(self, language: Language) -> &'static str {
                match (self, language) { $((Self::$name, Language::En) => $en, (Self::$name, Language::Zh) => $zh),* }
            }
        }
    };
}

codes! {
    SoldOut "sold_out" 409 0 "Fewer units are left than you asked for. It is worth another try after a restock." "剩余数量不足。补货后可以再试。"
    LimitReached "limit_reached" 409 0 "You already have as many units as this sale allows; order_id names your order." "您已达到本场活动的限购数量；order_id 是您已有的订单。"
    NotOpen "not_open" 409 1 "The sale has not begun. It begins at opens_at." "活动尚未开始，开始时间见 opens_at。"
    Ended "ended" 410 0 "The sale is over." "活动已结束。"
    Paused "paused" 503 2 "The sale is paused. Nothing was touched; try again later with the same key." "活动已暂停。本次请求未作任何改动，请稍后用同一个键重试。"
    Recovering "recovering" 503 1 "The sale is recovering. Nothing was touched; try again in a moment with the same key." "活动正在恢复。本次请求未作任何改动，请稍后用同一个键重试。"
    Overloaded "overloaded" 503 1 "Too much is on its way. Nothing was touched; try again in a moment with the same key." "当前请求过多。本次请求未作任何改动，请稍后用同一个键重试。"
    RateLimited "rate_limited" 429 1 "Too many requests from you. Slow down and try again." "您的请求过于频繁，请稍后再试。"
    IdempotencyMismatch "idempotency_mismatch" 422 0 "This key was used with other content; the first one stands. Use a new key for something new." "该键已用于不同的内容，以第一次为准。新的请求请使用新的键。"
    InvalidRequest "invalid_request" 400 0 "The request is not as it should be; errors names each place. Nothing was touched." "请求有误，errors 指出了每一处。未作任何改动。"
    Unauthorized "unauthorized" 401 0 "Who you are could not be verified. Send a valid token as Authorization: Bearer." "无法确认您的身份。请在 Authorization: Bearer 中提供有效的令牌。"
    Forbidden "forbidden" 403 0 "You may not do this." "您没有此操作的权限。"
    NotFound "not_found" 404 0 "There is nothing here, or it is not yours." "不存在，或者不属于您。"
    MethodNotAllowed "method_not_allowed" 405 0 "This address does not take this method; Allow names those that it takes." "该地址不支持此方法，请见 Allow。"
    RequestTimeout "request_timeout" 408 0 "The body did not arrive in time. Nothing was touched; send it again." "请求体未能及时到达。未作任何改动，请重新发送。"
    BodyTooLarge "body_too_large" 413 0 "The body is larger than this address takes. Nothing was touched." "请求体过大。未作任何改动。"
    SaleExists "sale_exists" 409 0 "A sale of this id exists with other terms; it was left as it is. Choose another id." "该编号的活动已存在且内容不同，未作改动。请换一个编号。"
    WrongStatus "wrong_status" 409 0 "Its present status does not allow this; order_status or sale_status says what it is." "当前状态不允许此操作，见 order_status 或 sale_status。"
    NotEnoughStock "not_enough_stock" 409 0 "Fewer units are left than that, or the sum would be too great; left says how many." "剩余数量不足或总量超限，见 left。"
    WrongAmount "wrong_amount" 422 0 "The amount is not the order's; amount says what is due. Nothing was done." "金额与订单不符，应付金额见 amount。未作任何改动。"
    StoreUnavailable "store_unavailable" 503 1 "A store does not answer, so it is not known. Ask again in a moment." "存储暂无应答，结果未知。请稍后再问。"
    NotNeeded "not_needed" 404 0 "This sale needs no token: order at once." "本场活动不需要令牌，可直接下单。"
    DemoOnly "demo_only" 404 0 "Only a demo has this." "仅演示模式提供。"
    BadSignature "bad_signature" 401 0 "The webhook's signature or time is not right." "回调的签名或时间不正确。"
    Internal "internal" 500 0 "Something went wrong here; request_id finds it in the log." "服务器内部出错，可凭 request_id 在日志中查找。"
}

impl Code {
    /// The HTTP status.
    pub fn http(self) -> StatusCode {
        StatusCode::from_u16(self.status()).expect("the table holds statuses that exist")
    }
}

/// What is wrong at one place of a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
pub struct Place {
    /// A JSON pointer into the body; `header:…` or `query:…` or `path:…` elsewhere.
    pub pointer: String,
    /// Stable.
    pub code: &'static str,
    /// What would be right.
    pub detail: String,
}

impl Place {
    /// One place.
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// The form of a problem in the API's description.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "a description; problems are written by hand")]
pub struct ProblemBody {
    /// Where the code is explained.
    #[schema(rename = "type")]
    kind: String,
    /// The code in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The stable word.
    code: String,
    /// What happened and what to do, in the language asked for (en, zh).
    detail: String,
    /// Finds the request in the log.
    request_id: String,
    /// With `invalid_request`: each place.
    errors: Option<Vec<Place>>,
    /// With `not_open`: when the sale opens.
    opens_at: Option<String>,
    /// With `limit_reached`: the order that takes the room.
    order_id: Option<String>,
}

/// A problem in JSON up to where the request is named.
fn head(code: Code, detail: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Head<'a> {
        #[serde(rename = "type")]
        kind: String,
        title: String,
        status: u16,
        code: &'a str,
        detail: &'a str,
    }
    let word = code.as_str();
    let head = Head { kind: format!("{PAGE}#{word}"), title: word.replace('_', " "), status: code.status(), code: word, detail };
    let mut out = serde_json::to_vec(&head).expect("strings and numbers become JSON");
    out.pop();
    out.extend_from_slice(b",\"request_id\":");
    out
}

/// The same with the code's own sentence, made once: in a stampede nearly every answer is one of these.
fn head_of(code: Code, language: Language) -> &'static [u8] {
    static HEADS: OnceLock<Vec<[Vec<u8>; 2]>> = OnceLock::new();
    let both = |&code: &Code| [Language::En, Language::Zh].map(|language| head(code, code.sentence(language)));
    let heads = HEADS.get_or_init(|| Code::ALL.iter().map(both).collect());
    &heads[code as usize][language as usize]
}

/// An answer that says no.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    language: Language,
    envelope: Envelope,
    request_id: String,
    detail: Option<String>,
    members: Vec<(&'static str, Value)>,
    retry_after_s: u64,
    close: bool,
}

impl Problem {
    /// A problem, for the asker that this context knows.
    pub fn new(code: Code, context: &Context) -> Self {
        Self::plain(code, context.language, context.envelope, context.request_id())
    }

    /// The same where there is no context yet.
    pub fn plain(code: Code, language: Language, envelope: Envelope, request_id: String) -> Self {
        let retry_after_s = match code.retry_s() {
            0 => 0,
            base => base + jitter(base + 1),
        };
        Self(Box::new(Inner { code, language, envelope, request_id, detail: None, members: Vec::new(), retry_after_s, close: false }))
    }

    /// Says more than the code's own sentence.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a member.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.members.push((name, value.into()));
        self
    }

    /// When it is worth trying again.
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = seconds;
        self
    }

    /// The connection cannot be used further: the request was not read to its end.
    pub fn close(mut self) -> Self {
        self.0.close = true;
        self
    }

    /// The request is wrong at these places.
    pub fn invalid(context: &Context, places: Vec<Place>) -> Self {
        let places = serde_json::to_value(places).expect("places are strings");
        Self::new(Code::InvalidRequest, context).with("errors", places)
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    fn body(&self) -> Vec<u8> {
        let inner = &self.0;
        let word = inner.code.as_str();
        let detail = inner.detail.as_deref().unwrap_or_else(|| inner.code.sentence(inner.language));
        let mut out = Vec::with_capacity(512);
        match inner.detail {
            None => out.extend_from_slice(head_of(inner.code, inner.language)),
            Some(_) => out.extend_from_slice(&head(inner.code, detail)),
        }
        serde_json::to_writer(&mut out, &inner.request_id).expect("a string becomes JSON");
        out.push(b'}');
        for (name, value) in &inner.members {
            out.pop();
            out.push(b',');
            serde_json::to_writer(&mut out, name).expect("a string becomes JSON");
            out.push(b':');
            serde_json::to_writer(&mut out, value).expect("a value becomes JSON");
            out.push(b'}');
        }
        match inner.envelope {
            Envelope::None => out,
            Envelope::Result => super::envelope::wrapped(false, word, detail, &out),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        let inner = *self.0;
        *response.status_mut() = inner.code.http();
        let headers = response.headers_mut();
        let kind = match inner.envelope {
            Envelope::None => "application/problem+json",
            Envelope::Result => "application/json",
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if inner.retry_after_s > 0 {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(inner.retry_after_s));
        }
        if inner.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if inner.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Ok(id) = HeaderValue::from_str(&inner.request_id) {
            headers.insert("x-request-id", id);
        }
        response.extensions_mut().insert(inner.code);
        response
    }
}

/// A number below `below` that differs from answer to answer, so that those who were refused together do not come back
/// together. Spread, not secrecy.
pub fn jitter(below: u64) -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Knuth's multiplicative hash: neighbours land far apart.
    let n = COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    n % below.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_with_the_greater_weight_is_spoken() {
        let check = |text: &str, expect| assert_eq!(Language::accepted(text), expect, "{text:?}");
        check("", Language::En);
        check("zh-CN,zh;q=0.9,en;q=0.8", Language::Zh);
        check("en-GB,en;q=0.9,zh;q=0.8", Language::En);
        check("de", Language::En);
        check("fr, ZH-hans;q=0.1", Language::Zh);
        check("zh;q=0", Language::En);
        check("zh;q=x", Language::En);
    }

    #[test]
    fn every_code_is_explained() {
        let page = include_str!("../../../../docs/errors.md");
        for code in Code::ALL {
            assert!(page.contains(&format!("### {}\n", code.as_str())), "docs/errors.md does not explain {}", code.as_str());
            assert!(code.http().is_client_error() || code.http().is_server_error());
        }
    }
}
