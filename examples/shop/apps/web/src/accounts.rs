//! `POST /register`, `/login`, `/token/refresh`, `/logout`, `/logout/everywhere`, and who it is that asks.
//!
//! Attempts are counted by the address of the client. Behind a proxy that is the proxy's, so that all
//! of its clients share their attempts, unless web.edge.trusted_proxies has it.

use linden_gateway::{
    ClientAddr,
    axum::{
        Json,
        extract::FromRequestParts,
        http::{StatusCode, header, request::Parts},
    },
};
use serde::{Deserialize, Serialize};
use shop_auth::{AuthService, Password, RefreshToken, Session, Token, UnixTime, UserId, UserName};

use crate::{error::ApiError, json::Body};

#[derive(Deserialize)]
pub(crate) struct NewUser {
    name: UserName,
    password: Password,
}

#[derive(Serialize)]
pub(crate) struct Registered {
    user_id: UserId,
}

pub(crate) async fn register(
    ClientAddr(client): ClientAddr,
    Body(user): Body<NewUser>,
) -> Result<(StatusCode, Json<Registered>), ApiError> {
    let user_id = AuthService::named().register(user.name, user.password, client).await??;
    Ok((StatusCode::CREATED, Json(Registered { user_id })))
}

/// Another type than [`NewUser`]: a password that was set under older rules still opens the door.
#[derive(Deserialize)]
pub(crate) struct Credentials {
    name: UserName,
    password: String,
}

/// The tokens of a session. Times are seconds since the Unix epoch.
#[derive(Serialize)]
pub(crate) struct LoggedIn {
    user_id: UserId,
    token: Token,
    token_expires_at: UnixTime,
    refresh_token: RefreshToken,
    refresh_token_expires_at: UnixTime,
}

impl From<Session> for LoggedIn {
    fn from(session: Session) -> LoggedIn {
        LoggedIn {
            user_id: session.user_id,
            token: session.access,
            token_expires_at: session.access_expires_at,
            refresh_token: session.refresh,
            refresh_token_expires_at: session.refresh_expires_at,
        }
    }
}

pub(crate) async fn log_in(
    ClientAddr(client): ClientAddr,
    Body(credentials): Body<Credentials>,
) -> Result<Json<LoggedIn>, ApiError> {
    let Credentials { name, password } = credentials;
    let session = AuthService::named().log_in(name, password, client).await??;
    Ok(Json(session.into()))
}

#[derive(Deserialize)]
pub(crate) struct Refresh {
    refresh_token: RefreshToken,
}

pub(crate) async fn refresh(
    Body(Refresh { refresh_token }): Body<Refresh>,
) -> Result<Json<LoggedIn>, ApiError> {
    let session = AuthService::named().refresh(refresh_token).await??;
    Ok(Json(session.into()))
}

pub(crate) async fn log_out(Bearer(token): Bearer) -> Result<StatusCode, ApiError> {
    AuthService::named().log_out(token).await??;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
pub(crate) struct LoggedOut {
    sessions: usize,
}

pub(crate) async fn log_out_everywhere(User(user_id): User) -> Result<Json<LoggedOut>, ApiError> {
    let sessions = AuthService::named().log_out_everywhere(user_id).await??;
    Ok(Json(LoggedOut { sessions }))
}

/// The token of a request, not looked at yet.
pub(crate) struct Bearer(String);

impl<S: Send + Sync> FromRequestParts<S> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Bearer, ApiError> {
        let token = bearer_token(parts).ok_or_else(|| {
            ApiError::refused(
                StatusCode::UNAUTHORIZED,
                "log in and send Authorization: Bearer TOKEN",
            )
        })?;
        Ok(Bearer(token.to_owned()))
    }
}

/// The user whose token the request has: a handler that takes it is for users only.
pub(crate) struct User(pub(crate) UserId);

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<User, ApiError> {
        let Bearer(token) = Bearer::from_request_parts(parts, state).await?;
        Ok(User(AuthService::named().verify_token(token).await??))
    }
}

fn bearer_token(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
