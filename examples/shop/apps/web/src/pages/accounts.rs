//! `/shop/register`, `/shop/login` and `/shop/logout`.

use askama::Template;
use linden_gateway::{
    ClientAddr,
    axum::{
        Form,
        extract::Query,
        http::{HeaderMap, StatusCode, header},
        response::{IntoResponse as _, Response},
    },
};
use serde::Deserialize;
use shop_auth::{AuthError, AuthService, Password, Session, UserName};

use super::{
    destination::Destination,
    failure::sentence,
    frame::{Frame, Here},
    html,
    session::{self, Customer, Visitor},
    with_status,
};
use crate::error::ApiError;

/// Both forms: a name, a password, and where to go on.
#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    form: AccountForm,
    name: String,
    next: Destination,
    mistakes: Mistakes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AccountForm {
    LogIn,
    Registration,
}

/// What is wrong with a form, beside the field or with all of it.
#[derive(Default)]
struct Mistakes {
    name: Option<String>,
    password: Option<String>,
    form: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn registration(visitor: Visitor, Query(asked): Query<Asked>) -> Response {
    html(&AccountPage::empty(&visitor, AccountForm::Registration, &asked.next))
}

pub(super) async fn log_in_form(visitor: Visitor, Query(asked): Query<Asked>) -> Response {
    html(&AccountPage::empty(&visitor, AccountForm::LogIn, &asked.next))
}

/// Makes an account and logs in.
pub(super) async fn register(
    visitor: Visitor,
    ClientAddr(client): ClientAddr,
    headers: HeaderMap,
    Form(sent): Form<Sent>,
) -> Result<Response, ApiError> {
    let page = AccountPage::sent(&visitor, AccountForm::Registration, &sent);
    let (name, password) = match (UserName::new(&sent.name), Password::new(&sent.password)) {
        (Ok(name), Ok(password)) => (name, password),
        (name, password) => {
            let name = name.err().map(|error| sentence(&error.to_string()));
            let password = password.err().map(|error| sentence(&error.to_string()));
            return Ok(page.refused(Mistakes { name, password, form: None }));
        }
    };
    let auth = AuthService::named();
    if let Err(error) = auth.register(name.clone(), password, client).await? {
        return page.answer(error);
    }
    match auth.log_in(name.clone(), sent.password, client).await? {
        Ok(session) => Ok(enter(session, name, &headers, page.next)),
        Err(error) => page.answer(error),
    }
}

pub(super) async fn log_in(
    visitor: Visitor,
    ClientAddr(client): ClientAddr,
    headers: HeaderMap,
    Form(sent): Form<Sent>,
) -> Result<Response, ApiError> {
    let page = AccountPage::sent(&visitor, AccountForm::LogIn, &sent);
    // What cannot be a name is nobody's; that is no secret.
    let Ok(name) = UserName::new(&sent.name) else {
        return page.answer(AuthError::WrongCredentials);
    };
    match AuthService::named().log_in(name.clone(), sent.password, client).await? {
        Ok(session) => Ok(enter(session, name, &headers, page.next)),
        Err(error) => page.answer(error),
    }
}

/// Ends the session. It is over for the browser also when it was over before.
pub(super) async fn log_out(visitor: Visitor, headers: HeaderMap) -> Result<Response, ApiError> {
    if let Visitor::Known(Customer { access, .. }) = visitor {
        match AuthService::named().log_out(access).await? {
            Ok(()) | Err(AuthError::Token(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let cookie = [(header::SET_COOKIE, session::ended(&headers))];
    Ok((cookie, Destination::default()).into_response())
}

fn enter(session: Session, name: UserName, headers: &HeaderMap, next: Destination) -> Response {
    let cookie = [(header::SET_COOKIE, session::opened(session, name, headers))];
    (cookie, next).into_response()
}

impl AccountPage {
    fn empty(visitor: &Visitor, form: AccountForm, next: &str) -> AccountPage {
        AccountPage {
            frame: Frame::new(visitor, Here::Elsewhere),
            form,
            name: String::new(),
            next: Destination::offered(next),
            mistakes: Mistakes::default(),
        }
    }

    fn sent(visitor: &Visitor, form: AccountForm, sent: &Sent) -> AccountPage {
        AccountPage { name: sent.name.clone(), ..AccountPage::empty(visitor, form, &sent.next) }
    }

    /// The form again, with what is wrong beside its fields.
    fn refused(self, mistakes: Mistakes) -> Response {
        with_status(StatusCode::UNPROCESSABLE_ENTITY, &AccountPage { mistakes, ..self })
    }

    /// What the user can mend is said at the form; the rest is a page of its own.
    fn answer(self, error: AuthError) -> Result<Response, ApiError> {
        let mistakes = match &error {
            AuthError::NameTaken { .. } => Mistakes {
                name: Some(format!(
                    "{} Choose another one, or log in.",
                    sentence(&error.to_string())
                )),
                ..Mistakes::default()
            },
            AuthError::Password(rule) => {
                Mistakes { password: Some(sentence(&rule.to_string())), ..Mistakes::default() }
            }
            AuthError::WrongCredentials => Mistakes {
                form: Some(format!("{} Check both and try again.", sentence(&error.to_string()))),
                ..Mistakes::default()
            },
            _ => return Err(error.into()),
        };
        Ok(self.refused(mistakes))
    }

    fn is_log_in(&self) -> bool {
        self.form == AccountForm::LogIn
    }
}
