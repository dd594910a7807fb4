//! `/`: what this is, for people and for programs.

use askama::Template;
use linden_gateway::axum::response::Response;

use super::{
    frame::{Frame, Here},
    html,
    session::Visitor,
};

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
}

pub(super) async fn show(visitor: Visitor) -> Response {
    html(&Home { frame: Frame::new(&visitor, Here::Elsewhere) })
}
