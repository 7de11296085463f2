//! What happened, call by call, kept only when somebody wants to read it: a failing schedule is run again for that.

use crate::executor::Group;
use sale::memory::ManualClock;
use sale::message;
use sale::ports::{Clock as _, Sheaf};
use sale::words::*;
use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The lines of one world.
pub struct History {
    clock: Arc<ManualClock>,
    kept: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    /// What readers call a purchase.
    names: BTreeMap<Digest, String>,
    /// The purchases of a batch, where a call names the batch only.
    batches: BTreeMap<BatchId, Vec<Digest>>,
}

struct Line {
    at_us: u64,
    who: Group,
    text: String,
    digests: Vec<Digest>,
    everybody: bool,
}

/// Which purchases a call is about.
pub struct About {
    digests: Vec<Digest>,
    batch: Option<BatchId>,
    /// Names the batch, if there is one.
    pub text: String,
}

impl About {
    /// No purchase in particular.
    pub fn nobody() -> Self {
        Self { digests: Vec::new(), batch: None, text: String::new() }
    }
    /// These purchases.
    pub fn digests(digests: &[Digest]) -> Self {
        Self { digests: digests.to_vec(), ..Self::nobody() }
    }
    /// The purchases of these asks.
    pub fn asks(asks: &[Ask]) -> Self {
        Self { digests: asks.iter().map(|ask| ask.digest).collect(), ..Self::nobody() }
    }
    /// The purchases of these orders.
    pub fn ids(ids: &[OrderId]) -> Self {
        Self { digests: ids.iter().map(|id| id.digest).collect(), ..Self::nobody() }
    }
    /// The purchases of these sheaves.
    pub fn sheaves(sheaves: &[Sheaf]) -> Self {
        let mut about =
            Self { digests: sheaves.iter().flat_map(|sheaf| sheaf.asks.iter().map(|ask| ask.digest)).collect(), ..Self::nobody() };
        for sheaf in sheaves {
            let _ = write!(about.text, "[epoch {}, {:?}] ", sheaf.epoch.0, sheaf.source);
        }
        about
    }
    /// The purchases of an encoded batch.
    pub fn body(body: &[u8]) -> Self {
        match message::decode(body) {
            message::Decoded::Batch(batch) => Self::asks(&batch.asks).of(batch.id),
            _ => Self::nobody(),
        }
    }
    /// As this batch.
    #[must_use]
    pub fn of(self, batch: BatchId) -> Self {
        Self { batch: Some(batch), text: format!("batch {batch}"), ..self }
    }
}

impl History {
    /// Keeps nothing until it is told to.
    pub fn new(clock: &Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self { clock: Arc::clone(clock), kept: AtomicBool::new(false), state: Mutex::default() })
    }

    /// From now on everything is kept.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Whether it is worth while to put a line into words.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// What readers call this purchase.
    pub fn name(&self, digest: Digest, name: impl FnOnce() -> String) {
        if self.is_kept() {
            self.lock().names.entry(digest).or_insert_with(name);
        }
    }

    /// A line about purchases.
    pub fn note(&self, who: Group, about: &About, text: impl FnOnce() -> String) {
        if !self.is_kept() {
            return;
        }
        let mut state = self.lock();
        let mut digests = about.digests.clone();
        if let Some(batch) = about.batch {
            if digests.is_empty() {
                digests = state.batches.get(&batch).cloned().unwrap_or_default();
            } else {
                state.batches.insert(batch, digests.clone());
            }
        }
        state.lines.push(Line { at_us: self.clock.elapsed_us(), who, text: text(), digests, everybody: false });
    }

    /// A line that concerns every purchase.
    pub fn everybody(&self, who: Group, text: impl FnOnce() -> String) {
        if self.is_kept() {
            self.lock().lines.push(Line { at_us: self.clock.elapsed_us(), who, text: text(), digests: Vec::new(), everybody: true });
        }
    }

    /// The lines about the purchases that a text names by their order ids, and about everybody; of all, if it names none.
    /// At most `max`, the last ones.
    pub fn of(&self, text: &str, sale: SaleId, max: usize) -> String {
        let state = self.lock();
        let named: Vec<Digest> =
            state.names.keys().copied().filter(|&digest| text.contains(&OrderId { sale, digest }.to_string())).collect();
        let mut out = String::new();
        for digest in &named {
            let _ = writeln!(out, "  {} is {}", state.names[digest], OrderId { sale, digest: *digest });
        }
        let concerns = |line: &&Line| line.everybody || named.is_empty() || line.digests.iter().any(|digest| named.contains(digest));
        let lines: Vec<&Line> = state.lines.iter().filter(concerns).collect();
        if lines.len() > max {
            let _ = writeln!(out, "  … {} lines before", lines.len() - max);
        }
        for line in lines.iter().skip(lines.len().saturating_sub(max)) {
            let who = if line.who == 0 { "world".to_owned() } else { format!("node {}", line.who) };
            let mut text = line.text.clone();
            for (digest, name) in &state.names {
                text = text.replace(&OrderId { sale, digest: *digest }.to_string(), name).replace(&digest.hex(), name);
            }
            let names: Vec<&str> = line.digests.iter().filter_map(|digest| state.names.get(digest).map(String::as_str)).collect();
            let names = if names.is_empty() { String::new() } else { format!("  ({})", names.join(" ")) };
            let _ = writeln!(out, "  {:>11.3} ms  {who:<7} {text}{names}", line.at_us as f64 / 1_000.0);
        }
        out
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }
}

/// An answer in few words.
pub fn brief(answer: &impl Debug) -> String {
    const MAX: usize = 140;
    let text = format!("{answer:?}");
    match text.char_indices().nth(MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sale::contract::ask;

    #[test]
    fn a_history_is_of_the_purchases_that_are_named_and_of_what_concerns_everybody() {
        let sale: SaleId = "s1".parse().unwrap();
        let clock = Arc::new(ManualClock::default());
        let (ann, bob) = (ask(sale, "ann", 1), ask(sale, "bob", 1));
        let id = |ask: &Ask| OrderId { sale, digest: ask.digest }.to_string();
        let history = History::new(&clock);
        history.everybody(0, || "not kept yet".to_owned());
        history.keep();
        history.name(ann.digest, || "ann/k".to_owned());
        history.name(bob.digest, || "bob/k".to_owned());
        let batch = BatchId { node: 1, number: 1 };
        history.note(1, &About::asks(std::slice::from_ref(&ann)).of(batch), || format!("holds {}", id(&ann)));
        history.note(2, &About::asks(std::slice::from_ref(&bob)), || "looks for bob".to_owned());
        history.note(1, &About::nobody().of(batch), || "settles".to_owned());
        history.everybody(0, || "the gate is wiped".to_owned());

        let told = history.of(&format!("{} is lost", id(&ann)), sale, 80);
        let lines: Vec<&str> = told.lines().map(|line| line.split_once(" ms  ").map_or(line, |(_, rest)| rest)).collect();
        let legend = format!("  ann/k is {}", id(&ann));
        assert_eq!(lines, [&legend, "node 1  holds ann/k  (ann/k)", "node 1  settles  (ann/k)", "world   the gate is wiped"]);
        let last = history.of(&id(&ann), sale, 1);
        assert!(last.contains("… 2 lines before") && !last.contains("settles") && last.contains("wiped"), "{last}");
        // A text that names nobody is about all of them.
        assert!(history.of("no rest", sale, 80).contains("looks for bob"));
    }
}
