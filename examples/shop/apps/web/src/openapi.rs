//! `GET /openapi.json`: what programs may ask of the shop, for their authors and their tools.
//!
//! The document is written by hand, beside this crate's `src`, so that it says what is meant and not what the code happens
//! to do. Two tests hold it to the code: each route is in it and the reverse (here), and a tool that plays through it finds
//! no answer that it does not allow (`cargo xtask test --only contract`).

use linden_gateway::axum::{
    http::header,
    response::{IntoResponse as _, Response},
};

const DOCUMENT: &str = include_str!("../openapi.json");

pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Routes as `get /path`, from lines such as `.route("/path", get(show).post(send))`.
    fn routes_in_code() -> BTreeSet<String> {
        let code = include_str!("routes.rs");
        // What is there on demand only is no part of the contract.
        let lines = code
            .lines()
            .filter_map(|line| line.trim().strip_prefix(".route(\""))
            .filter(|line| !line.starts_with("/chaos/"));
        lines
            .flat_map(|line| {
                let (path, handlers) = line.split_once('"').expect("a path ends");
                let has = move |method: &&str| handlers.contains(&format!("{method}("));
                let methods = ["get", "post", "put", "patch", "delete"].into_iter().filter(has);
                methods.map(move |method| format!("{method} {path}"))
            })
            .collect()
    }

    fn routes_in_document() -> BTreeSet<String> {
        let document: Value = serde_json::from_str(DOCUMENT).expect("it is JSON");
        let paths = document["paths"].as_object().expect("it has paths");
        let of_path = |(path, methods): (&String, &Value)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(|method| format!("{method} {path}")).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    #[test]
    fn each_route_for_programs_is_in_the_document_and_the_reverse() {
        let routes = routes_in_code();
        assert!(routes.contains("delete /orders/{id}") && routes.len() > 20, "{routes:?}");
        assert_eq!(routes_in_document(), routes);
    }
}
