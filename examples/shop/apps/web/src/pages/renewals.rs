//! The process `session_renewals`: changes a browser's refresh token for the next tokens, once.
//!
//! A refresh token is good once, and one that comes again ends its session, for it may be stolen. But a browser loads two
//! pages at once, and both bring the same cookie. So the pages ask here: whoever comes with a token that is on its way, or
//! was changed a moment ago, gets the same tokens. A thief who has the cookie gains that moment and no more.

use std::{collections::HashMap, fmt, time::Duration};

use linden::{Cx, prelude::*};
use shop_auth::{AuthError, AuthService, RefreshToken, Session};

/// How long the new tokens are given to whoever comes with the old one.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// Tokens known at a time. Beyond, renewals are refused as overload.
const KNOWN_MAX: usize = 10_000;

type Renewed = Result<Session, AuthError>;

/// The state of `session_renewals`.
#[derive(Default)]
pub(crate) struct SessionRenewals {
    /// By the text of the refresh token.
    known: HashMap<String, Renewal>,
}

enum Renewal {
    /// The auth service was asked; these wait.
    Asked(Vec<Reply<Renewed>>),
    Done(Session),
}

#[gen_server(name = "session_renewals")]
impl SessionRenewals {
    /// Gives the tokens that come after `token`.
    #[call]
    pub(crate) fn renew(
        &mut self,
        token: RefreshToken,
        reply: Reply<Renewed>,
        cx: &mut Context<Self>,
    ) {
        let is_full = self.known.len() >= KNOWN_MAX;
        match self.known.get_mut(token.as_str()) {
            Some(Renewal::Asked(waiting)) => waiting.push(reply),
            Some(Renewal::Done(session)) => {
                reply.send(Ok(session.clone()));
            }
            None if is_full => {
                reply.send(Err(AuthError::Overloaded));
            }
            None => {
                self.known.insert(token.as_str().to_owned(), Renewal::Asked(vec![reply]));
                self.ask(token, cx);
            }
        }
    }

    /// The auth service has answered, or has not.
    #[cast]
    fn answered(
        &mut self,
        token: RefreshToken,
        answer: Result<Renewed, CallError>,
        cx: &mut Context<Self>,
    ) {
        let Some(Renewal::Asked(waiting)) = self.known.remove(token.as_str()) else { return };
        // Without an answer the replies are dropped, and those who wait hear that it is not known.
        let Ok(renewed) = answer else { return };
        if let Ok(session) = &renewed {
            self.known.insert(token.as_str().to_owned(), Renewal::Done(session.clone()));
            cx.send_after(KEPT_FOR, SessionRenewalsMsg::Forget { token });
        }
        for reply in waiting {
            reply.send(renewed.clone());
        }
    }

    #[cast]
    fn forget(&mut self, token: RefreshToken) {
        self.known.remove(token.as_str());
    }

    fn ask(&self, token: RefreshToken, cx: &mut Context<Self>) {
        let own = cx.client();
        cx.spawn_link(move |_: Cx<()>| async move {
            let answer = AuthService::named().refresh(token.clone()).await;
            own.answered(token, answer);
            Ok::<(), BoxError>(())
        });
    }
}

/// For crash reports: how many tokens, not which.
impl fmt::Debug for SessionRenewals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRenewals").field("known", &self.known.len()).finish_non_exhaustive()
    }
}
