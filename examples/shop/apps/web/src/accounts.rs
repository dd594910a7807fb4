//! `POST /register`, `POST /login`, and who it is that asks.

use linden_gateway::axum::{
    Json,
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use serde::{Deserialize, Serialize};
use shop_auth::{AuthService, Password, Token, UserId, UserName};

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
    Body(user): Body<NewUser>,
) -> Result<(StatusCode, Json<Registered>), ApiError> {
    let user_id = AuthService::named().register(user.name, user.password).await??;
    Ok((StatusCode::CREATED, Json(Registered { user_id })))
}

/// Another type than [`NewUser`]: a password that was set under older rules still opens the door.
#[derive(Deserialize)]
pub(crate) struct Credentials {
    name: UserName,
    password: String,
}

#[derive(Serialize)]
pub(crate) struct LoggedIn {
    token: Token,
}

pub(crate) async fn log_in(
    Body(credentials): Body<Credentials>,
) -> Result<Json<LoggedIn>, ApiError> {
    let Credentials { name, password } = credentials;
    let token = AuthService::named().log_in(name, password).await??;
    Ok(Json(LoggedIn { token }))
}

/// The user whose token the request has: a handler that takes it is for users only.
pub(crate) struct User(pub(crate) UserId);

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<User, ApiError> {
        let token = bearer_token(parts).ok_or_else(|| {
            ApiError::refused(
                StatusCode::UNAUTHORIZED,
                "log in and send Authorization: Bearer TOKEN",
            )
        })?;
        Ok(User(AuthService::named().verify_token(token.to_owned()).await??))
    }
}

fn bearer_token(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
