//! What a load prints: AUDIT, OUTCOMES, LATENCY, rates; the same as JSON and as a page that stands alone. Measures nothing.

use super::latency::Quantiles;
use super::outcomes::Row;
use super::run::Steady;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

/// One law's verdict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LawLine {
    /// Its number.
    pub law: String,
    /// `holds`, `breached` or `unchecked`.
    pub verdict: String,
    /// Why it is unchecked.
    pub why: Option<String>,
}

/// Everything that is told of a load.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// What was done, in sentences.
    pub plan: Vec<String>,
    /// Empty when no audit could be made; then `no_audit` says why.
    pub laws: Vec<LawLine>,
    /// Each breach in words.
    pub breaches: Vec<String>,
    /// Why there is no audit.
    pub no_audit: Option<String>,
    /// Figures of the sales, as the audit gave them.
    pub sales: Value,
    /// Purchases that were shown as accepted, and those of them that the audit found.
    pub accepted: Value,
    /// So many of them had been when the server was lost for the first time, if it was.
    pub accepted_before_loss: Option<u64>,
    /// How purchases ended.
    pub outcomes: Vec<Row>,
    /// Purchases asked for; the outcomes add up to it.
    pub purchases: u64,
    /// To the first answer that decides or says "on its way".
    pub answered: Quantiles,
    /// To the row.
    pub confirmed: Quantiles,
    /// Per second.
    pub rates: Steady,
    /// Confirmed in each tenth of a second.
    pub confirmed_by_tenth: Vec<u32>,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// The generator's processor time per purchase, in microseconds.
    pub generator_cpu_us: f64,
    /// Why the load ended early.
    pub ended_early: Option<String>,
}

impl Report {
    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::from("\nAUDIT\n");
        if let Some(why) = &self.no_audit {
            let _ = writeln!(out, "  – no audit: {why}");
        }
        for law in &self.laws {
            let mark = mark(&law.verdict);
            let _ = writeln!(out, "  {mark} {}{}", law.law, law.why.as_ref().map(|why| format!("  {why}")).unwrap_or_default());
        }
        for breach in &self.breaches {
            let _ = writeln!(out, "  ✗ {breach}");
        }
        if let Some(accepted) = self.accepted_line() {
            let _ = writeln!(out, "  {accepted}");
        }
        out.push_str("\nOUTCOMES\n");
        for row in &self.outcomes {
            let _ = writeln!(out, "  {:<24} {:>10}", row.outcome, row.purchases);
        }
        let _ = writeln!(out, "  {:<24} {:>10}", "= purchases", self.purchases);
        let _ = writeln!(
            out,
            "\nLATENCY (ms{})  p50 p90 p99 p99.9 max",
            if self.answered.first_half_second_left_out { "; the first 0.5 s left out" } else { "" }
        );
        for (name, quantiles) in [("answered", &self.answered), ("confirmed", &self.confirmed)] {
            let Quantiles { count, p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms, .. } = quantiles;
            let _ = writeln!(out, "  {name:<10} {p50_ms:.2}  {p90_ms:.2}  {p99_ms:.2}  {p99_9_ms:.2}  {max_ms:.2}   ({count} of them)");
        }
        let Steady { offered, answered, confirmed, seconds } = self.rates;
        let _ = writeln!(
            out,
            "\nRATES (per second, over the {seconds:.1} s of steady load)\n  offered {offered:.0}   answered {answered:.0}   accepted {confirmed:.0}"
        );
        let _ = writeln!(out, "  {:.2} s in all; the generator computed {:.1} µs per purchase", self.seconds, self.generator_cpu_us);
        if let Some(why) = &self.ended_early {
            let _ = writeln!(out, "\nENDED EARLY: {why}");
        }
        out
    }

    /// A page that needs nothing else.
    pub fn page(&self) -> String {
        let mut out = String::from(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Hotcake under load</title><style>\
             body{font:15px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
             table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.15rem .8rem .15rem 0;text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}\
             .bad{color:#b00020}.none{color:#777}svg{width:100%;height:auto}</style><h1>Hotcake under load</h1>",
        );
        for line in &self.plan {
            let _ = write!(out, "<p>{}</p>", escaped(line));
        }
        if let Some(why) = &self.ended_early {
            let _ = write!(out, "<p class=bad>Ended early: {}</p>", escaped(why));
        }
        out.push_str("<h2>Audit</h2>");
        if let Some(why) = &self.no_audit {
            let _ = write!(out, "<p class=none>No audit: {}</p>", escaped(why));
        }
        out.push_str("<table>");
        for law in &self.laws {
            let class = if law.verdict == "breached" { "bad" } else { "" };
            let _ = write!(
                out,
                "<tr class=\"{class}\"><td>{}<td>{}<td class=none>{}",
                mark(&law.verdict),
                escaped(&law.law),
                escaped(law.why.as_deref().unwrap_or(""))
            );
        }
        out.push_str("</table>");
        for breach in &self.breaches {
            let _ = write!(out, "<p class=bad>✗ {}</p>", escaped(breach));
        }
        if let Some(accepted) = self.accepted_line() {
            let _ = write!(out, "<p>{accepted}</p>");
        }
        out.push_str("<h2>Outcomes</h2><table>");
        for row in &self.outcomes {
            let _ = write!(out, "<tr><td>{}<td class=n>{}", escaped(&row.outcome), row.purchases);
        }
        let _ = write!(out, "<tr><th>purchases<td class=n>{}</table>", self.purchases);
        out.push_str("<h2>Latency, ms</h2><table><tr><th><th>p50<th>p90<th>p99<th>p99.9<th>max<th>count");
        for (name, q) in [("answered", &self.answered), ("confirmed", &self.confirmed)] {
            let _ = write!(out, "<tr><td>{name}");
            for value in [q.p50_ms, q.p90_ms, q.p99_ms, q.p99_9_ms, q.max_ms] {
                let _ = write!(out, "<td class=n>{value:.2}");
            }
            let _ = write!(out, "<td class=n>{}", q.count);
        }
        let Steady { offered, answered, confirmed, seconds } = self.rates;
        let _ = write!(
            out,
            "</table><h2>Rates</h2><p>Over {seconds:.1} s of steady load, per second: offered {offered:.0}, answered {answered:.0}, accepted {confirmed:.0}.</p>"
        );
        out.push_str("<h2>Confirmed per second</h2>");
        out.push_str(&self.chart());
        out
    }

    /// How many were accepted, by what the buyers were told, and found by the audit.
    fn accepted_line(&self) -> Option<String> {
        let (told, found) = (self.accepted["told"].as_u64()?, self.accepted["found"].as_u64()?);
        let before = self.accepted_before_loss.map(|before| format!("accepted before the server was lost: {before}; ")).unwrap_or_default();
        Some(format!("{before}accepted: {told}, found: {found}"))
    }

    /// Confirmed orders per second over time, one bar a tenth.
    fn chart(&self) -> String {
        let bars = &self.confirmed_by_tenth;
        let most = bars.iter().copied().max().unwrap_or(0).max(1);
        let width = bars.len().max(1) * 10;
        let mut out = format!(
            "<svg viewBox=\"0 0 {width} 210\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"confirmed orders over time\">"
        );
        for (at, count) in bars.iter().enumerate() {
            let height = f64::from(*count) / f64::from(most) * 200.0;
            let _ =
                write!(out, "<rect x=\"{}\" y=\"{:.1}\" width=\"9\" height=\"{height:.1}\" fill=\"#c2410c\"/>", at * 10, 205.0 - height);
        }
        let _ = write!(
            out,
            "</svg><p class=none>The highest bar is {} orders per second; each bar is a tenth of a second.</p>",
            u64::from(most) * 10
        );
        out
    }
}

fn mark(verdict: &str) -> &'static str {
    match verdict {
        "holds" => "✓",
        "breached" => "✗",
        _ => "–",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
