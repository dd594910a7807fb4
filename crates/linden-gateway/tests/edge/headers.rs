//! What requests and responses say of themselves: ids, traces, origins.

use linden::{Start, Task, TraceContext, gen_server};
use linden_gateway::axum::Router;
use linden_gateway::axum::http::HeaderMap;
use linden_gateway::axum::routing::get;
use linden_gateway::{CorsConfig, EdgeConfig, Limits, RequestId, TraceState, Traced};

use crate::client::{Client, Response};
use crate::served::{Served, serve};

/// Whose trace the requests are sent in.
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn serve_with(edge: EdgeConfig) -> Served {
    let router = Router::new()
        .route("/id", get(async |id: RequestId| id.to_string()))
        .route("/trace", get(trace))
        .route("/state", get(state));
    serve(edge.wrap(router).expect("the edge is sound"), Limits::default()).await
}

async fn trace() -> String {
    linden::current_trace().map(|trace| trace.to_string()).unwrap_or_default()
}

async fn state(headers: HeaderMap, request: linden_gateway::axum::extract::Request) -> String {
    let state = request.extensions().get::<TraceState>().map(TraceState::as_str);
    format!("{} {state:?}", headers.contains_key("tracestate"))
}

async fn ask(client: &mut Client, method: &str, path: &str, fields: &str) -> Response {
    client.send(format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{fields}\r\n")).await;
    client.response().await
}

// proves: GATE-47
#[linden::test]
async fn a_sane_request_id_is_taken_over_and_others_are_made() {
    let served = serve_with(EdgeConfig::default()).await;
    let mut client = Client::of(&served.gateway).await;
    let response = ask(&mut client, "GET", "/id", "x-request-id: abc-1\r\n").await;
    assert_eq!((response.text(), response.header("x-request-id")), ("abc-1", Some("abc-1")));
    for field in ["", "x-request-id: a b\r\n", "x-request-id: a\r\nx-request-id: b\r\n"] {
        let response = ask(&mut client, "GET", "/id", field).await;
        assert_eq!(response.text().len(), 32, "{field}");
        assert_eq!(response.header("x-request-id"), Some(response.text()));
    }
    let missing = ask(&mut client, "GET", "/nowhere", "x-request-id: abc-2\r\n").await;
    assert_eq!((missing.status, missing.header("x-request-id")), (404, Some("abc-2")));
}

// proves: GATE-48
#[linden::test]
async fn a_handler_has_the_callers_trace_or_a_new_one() {
    let served = serve_with(EdgeConfig::default()).await;
    let mut client = Client::of(&served.gateway).await;
    let field = format!("traceparent: {CALLER}\r\n");
    let response = ask(&mut client, "GET", "/trace", &field).await;
    assert_eq!((response.text(), response.header("traceparent")), (CALLER, None));
    let state = format!("{field}tracestate: a=1\r\n");
    assert_eq!(ask(&mut client, "GET", "/state", &state).await.text(), "true Some(\"a=1\")");
    for fields in ["", "traceparent: 00-x\r\n", &format!("{field}{field}")] {
        let begun = ask(&mut client, "GET", "/trace", fields).await;
        let begun: TraceContext = begun.text().parse().expect("a new trace");
        assert_ne!(begun.to_string()[..52], CALLER[..52]);
        assert!(!begun.is_sampled());
        // Whose trace is not known, that state says nothing.
        let state = format!("{fields}tracestate: a=1\r\n");
        assert_eq!(ask(&mut client, "GET", "/state", &state).await.text(), "true None");
    }
}

struct Clerk;

#[gen_server(name = "clerk")]
impl Clerk {
    #[call]
    fn trace(&mut self) -> Option<TraceContext> {
        linden::current_trace()
    }
}

/// Asks a server for the trace that the request came in, and a task, after a wait.
async fn ask_around() -> String {
    let of_server = Clerk::named().trace().await.expect("it lives");
    linden::yield_now().await;
    let of_task = Task::spawn(trace()).await.expect("it ends well");
    let of_server = of_server.map(|trace| trace.to_string()).unwrap_or_default();
    format!("{} {}", of_server == of_task, of_task)
}

/// A router whose route `/traced` alone is in a trace.
fn partly_traced() -> Router {
    let traced = Router::new().route("/traced", get(ask_around)).layer(Traced);
    Router::new().route("/plain", get(ask_around)).merge(traced)
}

// proves: GATE-48
#[linden::test]
async fn the_processes_that_a_handler_asks_work_in_its_trace_until_the_next_request() {
    let _clerk = Clerk::start(|| Clerk).await.expect("it starts");
    let served = serve(partly_traced(), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    for caller in [CALLER, "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00"] {
        let field = format!("traceparent: {caller}\r\n");
        let traced = ask(&mut client, "GET", "/traced", &field).await;
        assert_eq!(traced.text(), format!("true {caller}"));
        // The route is not traced, whatever the caller says.
        assert_eq!(ask(&mut client, "GET", "/plain", &field).await.text(), "true ");
    }
}

// proves: GATE-41
#[linden::test]
async fn pages_of_listed_origins_may_use_the_routes_and_others_may_not() {
    let cors = CorsConfig {
        origins: vec!["https://shop.example".to_owned()],
        credentials: true,
        ..CorsConfig::default()
    };
    let served = serve_with(EdgeConfig { cors: Some(cors), ..EdgeConfig::default() }).await;
    let mut client = Client::of(&served.gateway).await;
    let listed = "origin: https://shop.example\r\n";
    let other = "origin: https://evil.example\r\n";
    let response = ask(&mut client, "GET", "/id", listed).await;
    let allowed = response.header("access-control-allow-origin");
    assert_eq!((response.status, allowed), (200, Some("https://shop.example")));
    assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
    let response = ask(&mut client, "GET", "/id", other).await;
    assert_eq!(response.header("access-control-allow-origin"), None);
    let wants = "access-control-request-method: PUT\r\n";
    let preflight = ask(&mut client, "OPTIONS", "/id", &format!("{listed}{wants}")).await;
    assert_eq!((preflight.status, preflight.text()), (200, ""));
    assert!(
        preflight.header("access-control-allow-methods").is_some_and(|all| all.contains("PUT"))
    );
    assert_eq!(preflight.header("access-control-max-age"), Some("3600"));
    let preflight = ask(&mut client, "OPTIONS", "/id", &format!("{other}{wants}")).await;
    assert_eq!(preflight.header("access-control-allow-origin"), None);
}
