//! Who looks at a page, known by a cookie.
//!
//! The cookie holds the tokens of a log-in and the user's name for the bar. No script can read it, no other site's form
//! brings it along, and where pages come by TLS it goes over TLS only. When the access token is over, the layer here gets
//! the next ones ([`SessionRenewals`]) and gives them to the browser with the page.

use std::time::SystemTime;

use cookie::{Cookie, SameSite, time::Duration};
use linden_gateway::axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use shop_auth::{
    AuthError, AuthService, RefreshToken, Session, TokenError, UnixTime, UserId, UserName,
};

use super::origin::{Cover, Origin};
use crate::{error::ApiError, pages::SessionRenewals, payments::repeated};

const COOKIE: &str = "shop";
/// A name that browsers take over TLS only, and from no other host.
const COOKIE_OVER_TLS: &str = "__Host-shop";

/// Whom a page is for.
#[derive(Clone, Debug)]
pub(super) enum Visitor {
    Guest,
    Known(Customer),
}

/// Somebody who is logged in. A handler that takes one is for them only; others are sent to the log-in.
#[derive(Clone)]
pub(super) struct Customer {
    pub(super) user_id: UserId,
    pub(super) name: UserName,
    /// The access token, to end the session with.
    pub(super) access: String,
}

impl std::fmt::Debug for Customer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Customer").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

/// Finds out who it is, and has a session renewed that is due.
pub(super) async fn recognise(mut request: Request, next: Next) -> Response {
    let (visitor, cookie) = match Ticket::of(request.headers()) {
        None => (Visitor::Guest, None),
        Some(ticket) => match ticket.shown().await {
            Ok(recognised) => recognised,
            Err(refused) => return refused.into_response(),
        },
    };
    request.extensions_mut().insert(visitor.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(visitor);
    // A handler that opened or ended a session has said so itself.
    if let Some(cookie) = cookie
        && !response.headers().contains_key(header::SET_COOKIE)
    {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The cookie of a session that was opened by a request with these headers.
pub(super) fn opened(session: Session, name: UserName, headers: &HeaderMap) -> HeaderValue {
    let cover = Origin::of(headers).map_or(Cover::Plain, |origin| origin.cover);
    Ticket::new(&session, name, cover).cookie(session.refresh_expires_at)
}

/// What makes a browser forget the session that these headers show.
pub(super) fn ended(headers: &HeaderMap) -> HeaderValue {
    let cover = Ticket::of(headers).map_or(Cover::Plain, |ticket| ticket.cover);
    set_cookie(cover, "", Duration::ZERO)
}

/// What the cookie holds.
struct Ticket {
    access: String,
    refresh: RefreshToken,
    name: UserName,
    cover: Cover,
}

impl Ticket {
    fn new(session: &Session, name: UserName, cover: Cover) -> Ticket {
        let (access, refresh) = (session.access.as_str().to_owned(), session.refresh.clone());
        Ticket { access, refresh, name, cover }
    }

    fn of(headers: &HeaderMap) -> Option<Ticket> {
        let cookies = headers.get_all(header::COOKIE).iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok());
        let cookies: Vec<Cookie<'_>> = cookies.flat_map(Cookie::split_parse).flatten().collect();
        [(COOKIE_OVER_TLS, Cover::Tls), (COOKIE, Cover::Plain)].into_iter().find_map(
            |(name, cover)| {
                let cookie = cookies.iter().find(|cookie| cookie.name() == name)?;
                Ticket::read(cookie.value(), cover)
            },
        )
    }

    fn read(value: &str, cover: Cover) -> Option<Ticket> {
        let mut parts = value.splitn(3, ':');
        let (access, refresh, name) = (parts.next()?, parts.next()?, parts.next()?);
        let name = UserName::new(name).ok()?;
        let refresh = RefreshToken::offered(refresh);
        Some(Ticket { access: access.to_owned(), refresh, name, cover })
    }

    /// Who shows it, and the cookie that is to take its place.
    async fn shown(self) -> Result<(Visitor, Option<HeaderValue>), ApiError> {
        let auth = AuthService::named();
        match repeated(|| auth.verify_token(self.access.clone())).await? {
            Ok(user_id) => Ok((self.visitor(user_id), None)),
            Err(TokenError::Expired) => self.renewed().await,
            Err(_) => Ok((Visitor::Guest, Some(self.void()))),
        }
    }

    async fn renewed(self) -> Result<(Visitor, Option<HeaderValue>), ApiError> {
        match SessionRenewals::named().renew(self.refresh.clone()).await? {
            Ok(session) => {
                let next = Ticket::new(&session, self.name, self.cover);
                let cookie = next.cookie(session.refresh_expires_at);
                Ok((next.visitor(session.user_id), Some(cookie)))
            }
            Err(AuthError::Token(_)) => Ok((Visitor::Guest, Some(self.void()))),
            Err(error) => Err(error.into()),
        }
    }

    fn visitor(self, user_id: UserId) -> Visitor {
        Visitor::Known(Customer { user_id, name: self.name, access: self.access })
    }

    // GATE-74: no script reads the cookie of a session, and no other site's request brings it along.
    fn cookie(&self, until: UnixTime) -> HeaderValue {
        let left = until.0.saturating_sub(UnixTime::from(SystemTime::now()).0);
        let left = Duration::seconds(i64::try_from(left).unwrap_or(i64::MAX));
        let value = format!("{}:{}:{}", self.access, self.refresh.as_str(), self.name);
        set_cookie(self.cover, &value, left)
    }

    fn void(&self) -> HeaderValue {
        set_cookie(self.cover, "", Duration::ZERO)
    }
}

fn set_cookie(cover: Cover, value: &str, kept_for: Duration) -> HeaderValue {
    let (name, is_secure) = match cover {
        Cover::Tls => (COOKIE_OVER_TLS, true),
        Cover::Plain => (COOKIE, false),
    };
    let cookie = Cookie::build((name, value))
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_secure)
        .path("/")
        .max_age(kept_for);
    HeaderValue::try_from(cookie.to_string()).expect("tokens and names are of letters and digits")
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    /// Never: who is not known is a guest.
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visitor, Self::Rejection> {
        Ok(parts.extensions.get().cloned().unwrap_or(Visitor::Guest))
    }
}

impl<S: Sync> FromRequestParts<S> for Customer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Customer, ApiError> {
        match parts.extensions.get() {
            Some(Visitor::Known(customer)) => Ok(customer.clone()),
            _ => Err(ApiError::refused(StatusCode::UNAUTHORIZED, "log in first")),
        }
    }
}

impl Customer {
    /// As whom the frame of a page shows them.
    pub(super) fn visitor(&self) -> Visitor {
        Visitor::Known(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_ticket_is_found_among_other_cookies() {
        let ticket = Ticket::of(&cookies("a=b; shop=access.sig:refresh:ada; c=d")).unwrap();
        assert_eq!((ticket.access.as_str(), ticket.name.as_str()), ("access.sig", "ada"));
        assert_eq!((ticket.refresh.as_str(), ticket.cover), ("refresh", Cover::Plain));
        let ticket = Ticket::of(&cookies("shop=a:b:eve; __Host-shop=a:b:ada")).unwrap();
        assert_eq!((ticket.name.as_str(), ticket.cover), ("ada", Cover::Tls));
        for value in ["", "shop", "shop=", "shop=a:b", "shop=a:b:<script>", "other=a:b:ada"] {
            assert!(Ticket::of(&cookies(value)).is_none(), "{value:?}");
        }
    }

    // proves: GATE-74
    #[test]
    fn a_cookie_is_for_pages_of_the_shop_only() {
        let plain = set_cookie(Cover::Plain, "v", Duration::seconds(5));
        assert_eq!(plain, "shop=v; HttpOnly; SameSite=Lax; Path=/; Max-Age=5");
        let tls = set_cookie(Cover::Tls, "v", Duration::seconds(5));
        assert_eq!(tls, "__Host-shop=v; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=5");
    }
}
