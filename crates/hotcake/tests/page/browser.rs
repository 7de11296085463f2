//! A browser for tests: headless Chromium, driven over WebDriver's JSON protocol. Knows no page.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A browser with one window. Ends with the value.
pub struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    _profile: TempDir,
}

impl Browser {
    /// Starts one; the reason, if this machine has none.
    pub fn start(language: &str) -> Result<Self, String> {
        let mut driver = match Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn() {
            Ok(driver) => driver,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err("there is no chromedriver; install chromium and chromium-driver".into());
            }
            Err(e) => panic!("chromedriver does not start: {e}"),
        };
        let mut lines = BufReader::new(driver.stdout.take().expect("its output is piped")).lines();
        let port = lines.find_map(|line| {
            let port = line.ok()?.split_once("started successfully on port ")?.1.trim_end_matches('.').to_owned();
            port.parse::<u16>().ok()
        });
        // Whatever else it prints is read, so that its pipe never fills; the thread ends with the driver.
        std::thread::spawn(move || lines.for_each(drop));
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(90))).build();
        let profile = tempfile::tempdir().expect("a directory for the profile");
        let port = port.expect("chromedriver says its port");
        let mut browser = Self { driver, session: format!("http://127.0.0.1:{port}"), agent: config.into(), _profile: profile };
        let mut args: Vec<String> = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
             --disable-component-update --disable-sync --disable-dev-shm-usage"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        args.push(format!("--user-data-dir={}", browser._profile.path().display()));
        let options = json!({ "args": args, "prefs": { "intl.accept_languages": language } });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" }, "timeouts": { "script": 30_000 } });
        match browser.command("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } })) {
            Ok(made) => {
                let id = made["sessionId"].as_str().expect("a session has an id");
                browser.session = format!("{}/session/{id}", browser.session);
                Ok(browser)
            }
            Err(e) if e.contains("cannot find Chrome binary") || e.contains("no chrome binary") => Err(e),
            Err(e) => panic!("chromedriver makes no session: {e}"),
        }
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let answer = match method {
            "GET" => self.agent.get(&url).call(),
            "DELETE" => self.agent.delete(&url).call(),
            _ => self.agent.post(&url).send_json(body),
        };
        let mut answer = answer.map_err(|e| format!("{method} {path}: {e}"))?;
        let good = answer.status().is_success();
        let value = answer.body_mut().read_json::<Value>().map_err(|e| format!("{method} {path}: {e}"))?["value"].take();
        if good { Ok(value) } else { Err(format!("{method} {path}: {}: {}", value["error"], value["message"])) }
    }

    fn must(&self, method: &str, path: &str, body: &Value) -> Value {
        self.command(method, path, body).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Opens an address and waits for its load.
    pub fn open(&self, url: &str) {
        self.must("POST", "/url", &json!({ "url": url }));
    }

    /// Loads the page again.
    pub fn reload(&self) {
        self.must("POST", "/refresh", &json!({}));
    }

    /// The window's inside, in CSS pixels, however small.
    pub fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.must("POST", "/goog/cdp/execute", &json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics }));
    }

    /// Runs a function's body in the page and answers what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.must("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true of the page; looks at every frame.
    pub fn until(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             const text = (id) => {{ const e = document.getElementById(id); return e?.checkVisibility() ? e.textContent : ''; }};
             const look = () => {{ const found = {expression}; if (found) done(found); else setTimeout(look, 16); }};
             look();"
        );
        self.command("POST", "/execute/async", &json!({ "script": script, "args": [] })).unwrap_or_else(|e| {
            let page = self.run("return document.body.innerText");
            panic!("never: {expression}\n{e}\nthe page says:\n{}\nits console: {:#?}", page.as_str().unwrap_or_default(), self.console())
        })
    }

    /// Waits until the element of that id is visible, says `words` somewhere, and answers all of it.
    pub fn says(&self, id: &str, words: &str) -> String {
        let found = self.until(&format!("text({}).includes({}) && text({0})", json!(id), json!(words)));
        found.as_str().expect("a text").to_owned()
    }

    fn element(&self, selector: &str) -> String {
        let found = self.must("POST", "/element", &json!({ "using": "css selector", "value": selector }));
        let id = found.as_object().and_then(|found| found.values().next()?.as_str());
        id.expect("an element has a reference").to_owned()
    }

    /// Clicks as a person does: the element must be there, visible and not covered.
    pub fn click(&self, selector: &str) {
        self.must("POST", &format!("/element/{}/click", self.element(selector)), &json!({}));
    }

    /// Replaces what stands in a field.
    pub fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.must("POST", &format!("/element/{element}/clear"), &json!({}));
        self.must("POST", &format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// What a screen reader calls an element.
    pub fn label(&self, selector: &str) -> String {
        let label = self.must("GET", &format!("/element/{}/computedlabel", self.element(selector)), &Value::Null);
        label.as_str().unwrap_or_default().to_owned()
    }

    /// Lines of the console since it was last asked for.
    pub fn console(&self) -> Vec<String> {
        let lines = self.must("POST", "/se/log", &json!({ "type": "browser" }));
        let lines = lines.as_array().cloned().unwrap_or_default();
        lines.iter().filter_map(|line| line["message"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The session's end is the browser's end; the driver's is ours to make.
        let _ = self.command("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
