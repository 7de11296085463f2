//! One purchase from its buyer's side: what was told, and what the buyer does next. Pure: no sockets, no clock.

use super::outcomes::Outcome;
use super::wire::Answer;
use crate::http::problem::Code;
use sale::books::Told;
use sale::order::Status;
use serde::Deserialize;
use std::time::Duration;

/// Tries of one request before the buyer gives up.
pub const TRIES_MAX: u8 = 40;
/// Looks at an order that is on its way.
pub const LOOKS_MAX: u8 = 200;
/// Pause before a try after no answer came.
const AFTER_NOTHING: Duration = Duration::from_millis(200);
/// Pause between two looks; each look itself waits for news.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// Longest obedience to a `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// What a buyer asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// The purchase itself.
    Buy,
    /// What became of it.
    Look,
    /// Does not want it any more.
    Cancel,
    /// Pays.
    Pay,
}

/// What a buyer does after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// This step, after this pause.
    Ask(Step, Duration),
    /// Nothing more.
    End(Outcome),
}

/// What the buyer means to do with a confirmed order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intent {
    /// Leave it.
    Keep,
    /// Cancel it at once.
    Cancel,
    /// Pay at once.
    Pay,
}

/// One purchase's story so far.
pub struct Story {
    /// Every answer in its order; a repetition of the same answer stands once, which says the same to every law.
    pub told: Vec<Told>,
    /// The amount of the last row shown.
    pub amount: Option<i64>,
    /// Where the last `Location` pointed.
    pub location: Option<Box<str>>,
    /// Nothing more will come.
    pub ended: bool,
    intent: Intent,
    tries: u8,
    looks: u8,
}

/// What this client reads of an order.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    status: &'a str,
    amount: Option<i64>,
}

/// What this client reads of a problem.
#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: &'a str,
}

impl Story {
    /// A purchase that nobody has asked for yet.
    pub fn new(intent: Intent) -> Self {
        Self { told: Vec::with_capacity(1), amount: None, location: None, ended: false, intent, tries: 0, looks: 0 }
    }

    /// The buyer hears an answer to `step`.
    pub fn heard(&mut self, step: Step, answer: &Answer<'_>) -> Next {
        match answer.status {
            200 | 201 => self.row(step, answer),
            202 => {
                self.tell(Told::Processing);
                if let Some(location) = answer.location {
                    self.location = Some(location.into());
                }
                self.look_again(if step == Step::Buy { Duration::ZERO } else { BETWEEN_LOOKS })
            }
            // Only these say that nothing was touched. Another 503 says that a store did not answer: unknown is not "no".
            429 | 503 if matches!(code_of(answer.body), Some(Code::Paused | Code::Recovering | Code::Overloaded | Code::RateLimited)) => {
                if step == Step::Buy {
                    self.tell(Told::Busy);
                }
                self.try_again(step, pause_of(answer), Outcome::Busy(word(answer)))
            }
            429 | 500.. => {
                self.tell(Told::Nothing);
                self.try_again(step, pause_of(answer), Outcome::Unexpected(answer.status))
            }
            400..500 => {
                if step == Step::Buy {
                    self.tell(Told::Refused);
                    return Next::End(Outcome::Refused(word(answer)));
                }
                // The order is something else by now (expired, say): the last row is what the buyer knows.
                Next::End(self.last_row().map_or(Outcome::Unexpected(answer.status), Outcome::Row))
            }
            _ => Next::End(Outcome::Unexpected(answer.status)),
        }
    }

    /// No answer to `step` came.
    pub fn lost(&mut self, step: Step) -> Next {
        self.tell(Told::Nothing);
        self.try_again(step, AFTER_NOTHING, Outcome::NoAnswer)
    }

    /// The load ends now: how far the purchase came.
    pub fn cut(&self) -> Outcome {
        match self.last_row() {
            Some(status) if status != Status::Processing => Outcome::Row(status),
            _ if self.told.iter().any(|told| matches!(told, Told::Processing | Told::Row(_))) => Outcome::Unsettled,
            _ => Outcome::NoAnswer,
        }
    }

    fn row(&mut self, step: Step, answer: &Answer<'_>) -> Next {
        let Some((status, amount)) = read_row(answer.body) else { return Next::End(Outcome::Unexpected(answer.status)) };
        // A look may show an order that is held and has no row; only a POST's answer says which of the two it is.
        if status == Status::Processing {
            self.tell(if step == Step::Buy { Told::Row(status) } else { Told::Processing });
            return self.look_again(BETWEEN_LOOKS);
        }
        self.tell(Told::Row(status));
        self.amount = amount.or(self.amount);
        if status != Status::Confirmed {
            return Next::End(Outcome::Row(status));
        }
        // Done once: an answer "confirmed" to a cancel or a payment ends the story as it is.
        match (std::mem::replace(&mut self.intent, Intent::Keep), step) {
            (Intent::Cancel, Step::Buy | Step::Look) => self.begin(Step::Cancel),
            (Intent::Pay, Step::Buy | Step::Look) => self.begin(Step::Pay),
            (Intent::Keep | Intent::Cancel | Intent::Pay, _) => Next::End(Outcome::Row(status)),
        }
    }

    fn begin(&mut self, step: Step) -> Next {
        self.tries = 0;
        Next::Ask(step, Duration::ZERO)
    }

    fn look_again(&mut self, pause: Duration) -> Next {
        self.looks += 1;
        self.tries = 0;
        if self.looks > LOOKS_MAX { Next::End(self.cut()) } else { Next::Ask(Step::Look, pause) }
    }

    fn try_again(&mut self, step: Step, pause: Duration, end: Outcome) -> Next {
        self.tries += 1;
        if self.tries < TRIES_MAX {
            return Next::Ask(step, pause);
        }
        Next::End(if self.cut() == Outcome::NoAnswer { end } else { self.cut() })
    }

    fn last_row(&self) -> Option<Status> {
        self.told.iter().rev().find_map(|told| if let Told::Row(status) = told { Some(*status) } else { None })
    }

    fn tell(&mut self, told: Told) {
        if self.told.last() != Some(&told) {
            self.told.push(told);
        }
    }
}

fn read_row(body: &[u8]) -> Option<(Status, Option<i64>)> {
    let row: Row<'_> = serde_json::from_slice(body).ok()?;
    Some((Status::parse(row.status)?, row.amount))
}

fn code_of(body: &[u8]) -> Option<Code> {
    let problem: Problem<'_> = serde_json::from_slice(body).ok()?;
    Code::ALL.iter().find(|code| code.as_str() == problem.code).copied()
}

fn word(answer: &Answer<'_>) -> &'static str {
    code_of(answer.body).map_or("refused", Code::as_str)
}

fn pause_of(answer: &Answer<'_>) -> Duration {
    answer.retry_after_s.map_or(AFTER_NOTHING, |s| Duration::from_secs(s.into())).min(RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer { status, retry_after_s: None, location: None, close: false, body: body.as_bytes() }
    }

    fn now(step: Step) -> Next {
        Next::Ask(step, Duration::ZERO)
    }

    const CONFIRMED: &str = r#"{"id":"a","status":"confirmed","amount":9900}"#;

    #[test]
    fn a_confirmed_order_ends_the_story_or_is_paid_or_cancelled() {
        for (intent, next) in
            [(Intent::Keep, Next::End(Outcome::Row(Status::Confirmed))), (Intent::Pay, now(Step::Pay)), (Intent::Cancel, now(Step::Cancel))]
        {
            let mut story = Story::new(intent);
            assert_eq!(story.heard(Step::Buy, &answer(201, CONFIRMED)), next);
            assert_eq!((story.told, story.amount), (vec![Told::Row(Status::Confirmed)], Some(9900)));
        }
    }

    #[test]
    fn a_purchase_on_its_way_is_looked_after_until_it_has_a_row() {
        let mut story = Story::new(Intent::Keep);
        let accepted = Answer { location: Some("/v1/orders/a?ticket=b"), ..answer(202, r#"{"status":"processing"}"#) };
        assert_eq!(story.heard(Step::Buy, &accepted), now(Step::Look));
        assert_eq!(story.location.as_deref(), Some("/v1/orders/a?ticket=b"));
        assert_eq!(story.heard(Step::Look, &answer(200, r#"{"status":"processing"}"#)), Next::Ask(Step::Look, BETWEEN_LOOKS));
        assert_eq!(story.heard(Step::Look, &answer(200, CONFIRMED)), Next::End(Outcome::Row(Status::Confirmed)));
        assert_eq!(story.told, [Told::Processing, Told::Row(Status::Confirmed)]);
    }

    #[test]
    fn busy_and_nothing_are_tried_again_and_never_become_a_refusal() {
        let mut story = Story::new(Intent::Keep);
        let busy = Answer { retry_after_s: Some(1), ..answer(503, r#"{"code":"recovering"}"#) };
        assert_eq!(story.heard(Step::Buy, &busy), Next::Ask(Step::Buy, Duration::from_secs(1)));
        assert_eq!(story.lost(Step::Buy), Next::Ask(Step::Buy, AFTER_NOTHING));
        assert_eq!(story.heard(Step::Buy, &answer(409, r#"{"code":"sold_out"}"#)), Next::End(Outcome::Refused("sold_out")));
        assert_eq!(story.told, [Told::Busy, Told::Nothing, Told::Refused]);
        let mut story = Story::new(Intent::Keep);
        story.heard(Step::Buy, &answer(503, r#"{"code":"store_unavailable"}"#));
        assert_eq!(story.told, [Told::Nothing]);
    }

    #[test]
    fn patience_ends() {
        let mut story = Story::new(Intent::Keep);
        let ends = (0..TRIES_MAX).map(|_| story.lost(Step::Buy)).filter(|next| matches!(next, Next::End(_))).collect::<Vec<_>>();
        assert_eq!(ends, [Next::End(Outcome::NoAnswer)]);
        let mut story = Story::new(Intent::Keep);
        let looks = (0..=LOOKS_MAX).map(|_| story.heard(Step::Look, &answer(202, ""))).filter(|next| matches!(next, Next::End(_))).count();
        assert_eq!((looks, story.cut()), (1, Outcome::Unsettled));
    }
}
