//! A browser as far as tests of pages need one: it keeps the session's cookie, fills in forms, and follows no redirect.

use std::net::SocketAddr;

use crate::http::{Client, Response};

/// Somebody at a browser.
pub(crate) struct Visitor {
    client: Client,
    /// The value of `Cookie`, while there is a session.
    pub(crate) cookie: String,
}

impl Visitor {
    /// Nobody yet.
    pub(crate) fn new(address: SocketAddr) -> Visitor {
        Visitor { client: Client::connect(address), cookie: String::new() }
    }

    /// Somebody who has registered.
    pub(crate) fn registered(address: SocketAddr, name: &str) -> Visitor {
        let mut visitor = Visitor::new(address);
        let fields = [("name", name), ("password", "correct horse")];
        let response = visitor.send("/shop/register", &fields);
        assert_eq!(response.status, 303, "{response:?}");
        visitor
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        let response = self.client.get(path, &[("cookie", &self.cookie), ("accept", "text/html")]);
        self.keep(response)
    }

    /// Sends a form as a page of the shop does.
    pub(crate) fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.send_from(path, fields, &[("sec-fetch-site", "same-origin")])
    }

    /// Sends a form with these headers, which say where it comes from.
    pub(crate) fn send_from(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        origin: &[(&str, &str)],
    ) -> Response {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        self.post(path, "application/x-www-form-urlencoded", origin, &body.join("&"))
    }

    /// Sends a form with a file as its last field.
    pub(crate) fn upload(&mut self, fields: &[(&str, &str)], name: &str, text: &str) -> Response {
        let mut body = String::new();
        for (name, value) in fields {
            body += &format!(
                "--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        body += &format!(
            "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{text}\r\n--edge--\r\n"
        );
        let origin = [("sec-fetch-site", "same-origin")];
        self.post("/shop/files", "multipart/form-data; boundary=edge", &origin, &body)
    }

    fn post(
        &mut self,
        path: &str,
        content_type: &str,
        origin: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut headers = vec![("content-type", content_type), ("cookie", &self.cookie)];
        headers.extend(origin);
        let response = self.client.post(path, &headers, body);
        self.keep(response)
    }

    fn keep(&mut self, response: Response) -> Response {
        if let Some(cookie) = response.header("set-cookie") {
            let pair = cookie.split(';').next().expect("a cookie has a value");
            self.cookie = if pair.ends_with('=') { String::new() } else { pair.to_owned() };
        }
        response
    }
}

/// Everything but letters and digits as `%XX`.
fn escaped(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// The key that the form of a page carries.
pub(crate) fn key(page: &Response) -> String {
    let (_, rest) = page.body.split_once(r#"name="key" value=""#).expect("the page has a key");
    rest.split('"').next().expect("it ends").to_owned()
}

/// Where a redirect leads.
#[track_caller]
pub(crate) fn location(response: &Response) -> String {
    assert_eq!(response.status, 303, "{response:?}");
    response.header("location").expect("a redirect says where to").to_owned()
}
