//! The page in a real browser against the real server: what a buyer does, and what must not happen to them.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

mod browser;
#[path = "../server/mod.rs"]
mod server;

use browser::Browser;
use serde_json::Value;
use server::{Process, hotcake};
use tempfile::TempDir;

/// A demo server of our own. Ends with the value.
struct Server {
    process: Process,
    _data: TempDir,
}

impl Server {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let process = Process::up("127.0.0.1:0", |command| command.args(["--demo", "--data-dir"]).arg(data.path()));
        Self { process, _data: data }
    }

    fn word(&self, name: &str) -> &str {
        self.process.said(name)
    }

    fn page(&self, sale: &str) -> String {
        format!("{}/?sale={sale}", self.word("url").trim_end_matches('/'))
    }

    /// A verb of the command line, as the operator.
    fn operate(&self, verb: &[&str]) -> Value {
        let done = hotcake().args(verb).args(["--json", "--url", self.word("admin_url"), "--key", self.word("operator_key")]).output();
        let done = done.expect("hotcake runs");
        assert!(done.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{verb:?}: {e}: {}", String::from_utf8_lossy(&done.stdout)))
    }

    fn sale(&self, id: &str, units: &str, limit: &str) -> String {
        let title = format!("Sale {id}");
        self.operate(&["sale", "create", "--id", id, "--title", &title, "--units", units, "--price", "1990", "--limit", limit, "--open"]);
        self.page(id)
    }

    /// The statuses of a sale's orders, newest first.
    fn orders(&self, sale: &str) -> Vec<String> {
        let page = self.operate(&["order", "list", "--sale", sale]);
        let items = page["items"].as_array().unwrap_or_else(|| panic!("no items: {page}"));
        items.iter().map(|order| order["status"].as_str().unwrap().to_owned()).collect()
    }
}

/// A browser and a server, or a loud word and nothing.
fn start(language: &str) -> Option<(Browser, Server)> {
    match Browser::start(language) {
        Ok(browser) => {
            browser.size(1200, 800);
            Some((browser, Server::start()))
        }
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "the page is not tested: {why}");
            eprintln!("\n*** SKIPPED: the page was NOT tested: {why} ***\n");
            None
        }
    }
}

/// Nothing was blocked by the page's policy and nothing was thrown.
fn quiet(browser: &Browser) {
    let loud = |line: &String| line.contains("Content Security Policy") || line.contains("Uncaught") || line.contains("TrustedScript");
    let lines: Vec<String> = browser.console().into_iter().filter(loud).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}

fn buyable(browser: &Browser) {
    browser.until("document.getElementById('buy').checkVisibility() && !document.getElementById('buy').disabled");
}

/// Replaces what answers the page's next POST of a purchase.
fn next_purchase(browser: &Browser, answer: &str) {
    browser.run(&format!(
        "const real = window.fetch; let first = true;
         window.fetch = async (path, options) => {{
           if (!first || options?.method !== 'POST' || !String(path).endsWith('/orders')) return real(path, options);
           first = false;
           {answer}
         }};"
    ));
}

#[test]
fn a_buyer_buys_cancels_buys_again_and_pays() {
    let Some((browser, server)) = start("en-US") else { return };
    let page = server.sale("walk", "50", "3");
    browser.open(&page);
    browser.says("title", "Sale walk");
    browser.says("price", "19.90");
    browser.says("stock", "In stock");
    browser.until(r"/\d\d:\d\d$/.test(text('countdown'))");

    buyable(&browser);
    browser.click("#buy");
    browser.says("headline", "It is yours");
    browser.until(r"/^\d\d:\d\d$/.test(text('pay-left'))");
    assert_eq!(browser.run("return document.activeElement.id"), "headline", "the focus follows what happened");
    browser.click("#cancel");
    browser.click("#cancel-yes");
    browser.says("headline", "Cancelled");
    assert_eq!(server.orders("walk"), ["cancelled"]);

    browser.click("#done");
    buyable(&browser);
    browser.click("#more");
    browser.says("total", "39.80");
    browser.click("#buy");
    browser.says("headline", "It is yours");
    browser.says("fact-quantity", "2");
    browser.click("#pay");
    browser.says("headline", "Paid");
    assert_eq!(server.orders("walk"), ["paid", "cancelled"]);
    // What is paid is still shown after a reload.
    browser.reload();
    browser.says("headline", "Paid");
    browser.click("#done");

    // One unit more than the limit allows is refused, and the order that stands in the way is shown.
    buyable(&browser);
    browser.click("#more");
    browser.click("#buy");
    browser.says("headline", "You have it already");
    browser.click("#show");
    browser.says("headline", "Paid");
    quiet(&browser);
}

#[test]
fn nothing_makes_a_purchase_twice() {
    let Some((browser, server)) = start("en-US") else { return };
    let page = server.sale("once", "50", "9");
    browser.open(&page);
    buyable(&browser);

    // The server bought, and the answer got lost: the page asks again about the same purchase.
    next_purchase(&browser, "await real(path, options); throw new TypeError('the answer was lost');");
    browser.click("#buy");
    browser.says("headline", "No answer");
    browser.says("headline", "It is yours");
    assert_eq!(server.orders("once").len(), 1);
    browser.click("#pay");
    browser.says("headline", "Paid");
    browser.click("#done");

    // The page is left while the server is asked: the next page goes on with the same purchase.
    buyable(&browser);
    next_purchase(&browser, "await real(path, options); window.asked = true; return new Promise(() => {});");
    browser.click("#buy");
    browser.until("window.asked");
    browser.reload();
    browser.says("headline", "It is yours");
    assert_eq!(server.orders("once").len(), 2);
    browser.click("#pay");
    browser.says("headline", "Paid");
    browser.click("#done");

    // A busy shop touched nothing; the page waits as long as it is told and tries by itself.
    buyable(&browser);
    next_purchase(&browser, "return new Response('{\"code\":\"overloaded\"}', { status: 503, headers: { 'retry-after': '3' } });");
    browser.click("#buy");
    browser.says("headline", "Very many buyers");
    browser.says("waiting", "Next try in 3 s");
    browser.says("headline", "It is yours");
    assert_eq!(server.orders("once"), ["confirmed", "paid", "paid"]);

    // Another buyer of the same browser has purchases of their own.
    browser.click("#change");
    browser.fill("#who-input", "somebody else");
    browser.click("#who-form button[type=submit]");
    browser.says("who", "somebody else");
    buyable(&browser);
    quiet(&browser);
}

#[test]
fn it_speaks_chinese_and_fits_a_small_phone() {
    let Some((browser, server)) = start("zh-CN") else { return };
    let page = server.sale("phone", "50", "3");
    let fits = |what: &str| {
        let wide = browser.run("return document.documentElement.scrollWidth - window.innerWidth");
        assert!(wide.as_i64().unwrap() <= 0, "{what} scrolls sideways by {wide} px");
    };
    browser.size(360, 740);
    browser.open(server.word("url"));
    browser.says("list-title", "活动列表");
    browser.until("text('sales').includes('Sale phone')");
    fits("the list");
    browser.open(&page);
    buyable(&browser);
    browser.says("buy", "立即抢购");
    fits("the sale");
    let low = browser.run("return document.getElementById('buy').getBoundingClientRect().bottom");
    assert!(low.as_f64().unwrap() <= 740.0, "the button to buy is below the fold: {low}");
    // Everything that can be pressed has a name.
    for id in ["language", "fewer", "more", "quantity", "buy", "change"] {
        assert!(!browser.label(&format!("#{id}")).is_empty(), "#{id} has no name");
    }
    browser.click("#buy");
    browser.says("headline", "抢到了");
    fits("the purchase");

    // The other language, remembered over a reload, in the middle of a purchase.
    browser.click("#language");
    browser.says("headline", "It is yours");
    assert_eq!(browser.run("return document.documentElement.lang"), "en");
    browser.reload();
    browser.says("headline", "It is yours");
    fits("the purchase in English");
    browser.click("#language");
    browser.says("headline", "抢到了");
    quiet(&browser);
}

#[test]
fn a_sale_is_shown_as_it_is() {
    let Some((browser, server)) = start("en-US") else { return };

    // Sold out, by somebody else, seen without a reload; and back again when the unit comes back.
    let page = server.sale("last", "1", "1");
    browser.open(&page);
    browser.says("stock", "Only a few left");
    buyable(&browser);
    browser.click("#buy");
    browser.says("headline", "It is yours");
    browser.says("stock", "Sold out");
    browser.click("#change");
    browser.fill("#who-input", "late");
    browser.click("#who-form button[type=submit]");
    browser.says("buy", "Sold out");
    assert_eq!(browser.run("return document.getElementById('buy').disabled"), true);
    browser.says("buy-note", "come back");
    server.operate(&["sale", "restock", "last", "1", "--reason", "a return"]);
    buyable(&browser);

    // Paused and opened again by the operator.
    server.operate(&["sale", "pause", "last"]);
    browser.says("buy", "Paused");
    server.operate(&["sale", "open", "last"]);
    buyable(&browser);

    // Not open yet: the button says when, and opens by itself by the server's clock.
    let coming = browser.run("return new Date(Date.now() + 8000).toISOString()");
    let opens = coming.as_str().unwrap();
    server.operate(&["sale", "create", "--id", "soon", "--units", "5", "--price", "100", "--opens-at", opens, "--open"]);
    browser.open(&server.page("soon"));
    browser.says("buy", "Opens in");
    buyable(&browser);
    browser.says("buy", "Buy now");

    browser.open(&server.page("nowhere"));
    browser.says("notice", "no sale called");
    quiet(&browser);
}
