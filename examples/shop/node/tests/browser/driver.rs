//! Chromium by its driver: the WebDriver protocol, which is JSON over HTTP/1.1, as far as the test needs it.
//!
//! A [`Browser`] ends its driver, and the driver its browser, when it is dropped.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::http::Client;

/// Longer than anything takes: a page that never shows what it should says so.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The driver listens to nobody who calls it otherwise.
const HOST: [(&str, &str); 1] = [("host", "localhost")];
/// What the protocol calls a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What a browser is like.
#[derive(Clone, Copy)]
pub(crate) struct Looks {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) colours: &'static str,
    pub(crate) scripts: Scripts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scripts {
    On,
    Off,
}

/// A browser with one page.
pub(crate) struct Browser {
    client: Client,
    session: String,
    shop: SocketAddr,
    /// Goes last, after its session.
    _driver: Driver,
}

/// The driver's process. It takes the browser, if one is left, with it.
struct Driver {
    process: Child,
    /// Held open, so that the driver can go on talking.
    said: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts one for this shop, with a profile of its own in `directory`.
    pub(crate) fn start(shop: SocketAddr, directory: &Path, looks: Looks) -> Browser {
        let mut driver = Driver::start();
        let client = Client::connect(SocketAddr::from(([127, 0, 0, 1], driver.port())));
        let mut browser = Browser { client, session: String::new(), shop, _driver: driver };
        let made = browser.ask("POST", "/session", &capabilities(directory, looks));
        browser.session = made["sessionId"].as_str().expect("a session has an id").to_owned();
        browser.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": looks.colours }] }),
        );
        browser.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": looks.width, "height": looks.height, "deviceScaleFactor": 1, "mobile": looks.width < 600 }),
        );
        browser
    }

    /// Goes to a page of the shop.
    pub(crate) fn open(&mut self, path: &str) {
        let url = format!("http://{}{path}", self.shop);
        self.command("url", json!({ "url": url }));
    }

    /// Types into a field.
    pub(crate) fn fill(&mut self, selector: &str, text: &str) {
        let element = self.element(selector);
        if !selector.contains("file") {
            self.command(&format!("element/{element}/clear"), json!({}));
        }
        self.command(&format!("element/{element}/value"), json!({ "text": text }));
    }

    pub(crate) fn click(&mut self, selector: &str) {
        let element = self.element(selector);
        self.command(&format!("element/{element}/click"), json!({}));
    }

    /// Waits until the page has an element, with these words in it.
    pub(crate) fn wait_for(&mut self, selector: &str, words: &str) {
        let begin = Instant::now();
        while !self.texts(selector).iter().any(|text| text.contains(words)) {
            let page = self.texts("body");
            assert!(begin.elapsed() < TIMEOUT, "{words:?} is not in {selector} of {page:?}");
        }
    }

    /// Waits until a script says `true`.
    pub(crate) fn wait_until(&mut self, script: &str) {
        let begin = Instant::now();
        while self.run(script) != json!(true) {
            assert!(begin.elapsed() < TIMEOUT, "it never came to: {script}");
        }
    }

    /// What the driver's own script, which runs also where the page's are off, gives back.
    pub(crate) fn run(&mut self, script: &str) -> Value {
        self.command("execute/sync", json!({ "script": script, "args": [] }))
    }

    /// A picture of the whole page, as base64 of a PNG.
    pub(crate) fn picture(&mut self) -> String {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.devtools("Page.captureScreenshot", parameters);
        answer["data"].as_str().expect("a picture").to_owned()
    }

    /// What went wrong so far: errors of the console, violations of the policy, failed requests.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        let console = self.command("se/log", json!({ "type": "browser" }));
        let console = console.as_array().cloned().unwrap_or_default();
        let network = self.command("se/log", json!({ "type": "performance" }));
        let network = network.as_array().cloned().unwrap_or_default();
        let events = network.iter().filter_map(|entry| entry["message"].as_str());
        let events: Vec<Value> =
            events.map(|text| serde_json::from_str(text).expect("JSON")).collect();
        // The browser has a first page of its own.
        let shop = format!("http://{}/", self.shop);
        let own: Vec<&Value> = events.iter().filter_map(|event| request(event, &shop)).collect();
        assert!(!own.is_empty(), "the browser tells of its requests");
        let failed = events.iter().filter_map(|event| failed_request(event, &own));
        console.iter().map(|entry| entry["message"].to_string()).chain(failed).collect()
    }

    fn texts(&mut self, selector: &str) -> Vec<String> {
        let script = format!(
            "return [...document.querySelectorAll({selector:?})].map((element) => element.innerText)"
        );
        let texts = self.run(&script);
        let texts = texts.as_array().cloned().unwrap_or_default();
        texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    }

    fn element(&mut self, selector: &str) -> String {
        let found = self.command("element", json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().expect("an element has an id").to_owned()
    }

    fn devtools(&mut self, name: &str, parameters: Value) -> Value {
        self.command("goog/cdp/execute", json!({ "cmd": name, "params": parameters }))
    }

    fn command(&mut self, name: &str, parameters: Value) -> Value {
        let path = format!("/session/{}/{name}", self.session);
        self.ask("POST", &path, &parameters)
    }

    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let answer = self.client.request(method, path, &HOST, body.as_bytes());
        let answer = answer.expect("the driver answers");
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.body);
        answer.json()["value"].clone()
    }
}

impl Drop for Browser {
    /// The session's end is that of the browser.
    fn drop(&mut self) {
        let path = format!("/session/{}", self.session);
        let _ = self.client.request("DELETE", &path, &HOST, b"");
    }
}

impl Driver {
    fn start() -> Driver {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed: Debian's package chromium-driver");
        let said = BufReader::new(process.stdout.take().expect("piped"));
        Driver { process, said }
    }

    /// Waits until it listens; where.
    fn port(&mut self) -> u16 {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(
                self.said.read_line(&mut line).expect("text"),
                0,
                "the driver ended at once"
            );
            let end =
                line.trim_end().trim_end_matches('.').rsplit_once("started successfully on port ");
            if let Some(port) = end.and_then(|(_, port)| port.parse().ok()) {
                return port;
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn capabilities(directory: &Path, looks: Looks) -> Value {
    let profile = format!("--user-data-dir={}", directory.display());
    let scripts = if looks.scripts == Scripts::On { 1 } else { 2 };
    let size = format!("--window-size={},{}", looks.width.max(500), looks.height);
    json!({ "capabilities": { "alwaysMatch": {
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        "goog:chromeOptions": {
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--hide-scrollbars", size, profile,
            ],
            "prefs": { "profile.managed_default_content_settings.javascript": scripts },
        },
    } } })
}

/// The id of a request that a page of the shop makes.
fn request<'e>(event: &'e Value, shop: &str) -> Option<&'e Value> {
    let (method, parameters) = (&event["message"]["method"], &event["message"]["params"]);
    let is_own = method == "Network.requestWillBeSent"
        && parameters["documentURL"].as_str()?.starts_with(shop);
    is_own.then_some(&parameters["requestId"])
}

/// A request of these that got no answer, or an error, of an event of the network.
fn failed_request(event: &Value, own: &[&Value]) -> Option<String> {
    let message = &event["message"];
    let parameters = &message["params"];
    let is_failed = match message["method"].as_str()? {
        // A page that is left ends its event stream.
        "Network.loadingFailed" => parameters["canceled"] != true,
        "Network.responseReceived" => parameters["response"]["status"].as_u64()? >= 400,
        _ => false,
    };
    (is_failed && own.contains(&&parameters["requestId"])).then(|| message.to_string())
}
