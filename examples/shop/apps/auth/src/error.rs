//! Why a request to `auth_service` has no success to show.

use std::{error::Error, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{PasswordError, TokenError, UserName, attempts::TooMany};

/// Why somebody was not registered, logged in, refreshed or logged out. Nothing was stored, unless a
/// variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AuthError {
    /// Another account has the name.
    NameTaken {
        /// The name.
        name: UserName,
    },
    /// The password breaks a rule.
    Password(PasswordError),
    /// No such user, or another password: which one is not told.
    WrongCredentials,
    /// Too many failed log-ins under this name or from this address, or too many registrations from
    /// there: which one is not told, nor whether there is such an account. The password was not
    /// looked at.
    TooManyAttempts {
        /// The next one is possible after this time.
        retry_after: Duration,
    },
    /// The token proves nothing. After [`TokenError::Reused`] its session has ended.
    Token(TokenError),
    /// Too many requests wait. Try again in a moment.
    Overloaded,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthError::NameTaken { name } => write!(f, "the name {name} is taken"),
            AuthError::Password(_) => f.write_str("the password is refused"),
            AuthError::WrongCredentials => f.write_str("the name or the password is wrong"),
            AuthError::TooManyAttempts { .. } => f.write_str("too many attempts; try again later"),
            AuthError::Token(_) => f.write_str("the token is refused"),
            AuthError::Overloaded => f.write_str("too many log-ins at once; try again in a moment"),
        }
    }
}

impl Error for AuthError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            AuthError::Password(error) => Some(error),
            AuthError::Token(error) => Some(error),
            _ => None,
        }
    }
}

impl From<TokenError> for AuthError {
    fn from(error: TokenError) -> AuthError {
        AuthError::Token(error)
    }
}

impl From<TooMany> for AuthError {
    fn from(TooMany { retry_after }: TooMany) -> AuthError {
        AuthError::TooManyAttempts { retry_after }
    }
}
