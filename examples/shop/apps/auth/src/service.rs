//! The process `auth_service`: registers, logs in and out, refreshes, checks tokens.
//!
//! The service itself never waits. A password hash takes tens of milliseconds and a write waits for
//! the disk, so each request that needs one gets a process of its own, which works on the blocking
//! pool and answers the caller; meanwhile the service checks tokens. What keeps many such requests
//! from eating the machine is [`Turns`].
//!
//! An access token is checked without asking the store: by its signature, its expiry, and the list of
//! sessions that were ended before their time. The list is read from the store when the service
//! starts. Whoever ends a session afterwards writes it to the store first, then tells *the process
//! that has the service's name*, then answers its caller. So a caller's next request meets a service
//! that knows, also when the service crashed in between: the name is taken before the list is read,
//! and so a successor either reads the entry or is told of it.

use std::{fmt, net::IpAddr, num::NonZeroUsize, time::Duration};

use linden::{Cx, prelude::*};
use tokio::task::spawn_blocking;

use crate::{
    AuthAttempts, AuthError, Claims, Password, RefreshToken, Session, StoreError, Swept,
    TokenError, UserId, UserName,
    desk::{Desk, Done, now},
    revocations::{Revocation, Revocations},
    turns::{Place, Turns},
};

/// Writes at the same time: the store takes one at a time anyhow.
const WRITES_MAX: NonZeroUsize = NonZeroUsize::MIN;

/// The bounds of what runs and what waits, and how often the store is swept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Passwords hashed at the same time.
    pub(crate) hashes_max: NonZeroUsize,
    /// Requests that wait for their hash. More are refused as overload.
    pub(crate) hashes_waiting_max: usize,
    /// Requests that wait for a write and need no hash. More are refused as overload.
    pub(crate) writes_waiting_max: usize,
    /// The time between two sweeps of expired sessions.
    pub(crate) sweep_every: Duration,
}

/// What `auth_service` works with. Clones share it, so a restarted service goes on with the open
/// files, the key and the bounds of its predecessor.
#[derive(Clone, Debug)]
pub(crate) struct AuthTools {
    desk: Desk,
    hashing: Turns,
    writing: Turns,
    sweep_every: Duration,
}

impl AuthTools {
    /// Tools that nobody has used yet.
    pub(crate) fn new(desk: Desk, bounds: Bounds) -> AuthTools {
        AuthTools {
            desk,
            hashing: Turns::new(bounds.hashes_max, bounds.hashes_waiting_max),
            writing: Turns::new(WRITES_MAX, bounds.writes_waiting_max),
            sweep_every: bounds.sweep_every,
        }
    }
}

/// The state of `auth_service`.
pub struct AuthService {
    tools: AuthTools,
    revoked: Revocations,
}

impl AuthService {
    /// A service that knows which sessions were ended.
    pub(crate) async fn open(tools: AuthTools) -> Result<AuthService, Stop> {
        let (sessions, now) = (tools.desk.sessions.clone(), now());
        let mut revoked = Revocations::default();
        for revocation in spawn_blocking(move || sessions.revocations(now)).await?? {
            revoked.insert(revocation, now);
        }
        Ok(AuthService { tools, revoked })
    }
}

#[gen_server(name = "auth_service")]
impl AuthService {
    #[init]
    fn init(&mut self, cx: &mut Context<Self>) {
        cx.send_after(self.tools.sweep_every, AuthServiceMsg::Sweep {});
    }

    /// Makes an account. It is on disk when the answer comes.
    ///
    /// [`AuthError::NameTaken`] tells that there is such an account: a name can be chosen only by
    /// whoever may hear that. Each address has so many attempts, whatever becomes of them.
    #[call]
    pub fn register(
        &mut self,
        name: UserName,
        password: Password,
        from: IpAddr,
        reply: Reply<Result<UserId, AuthError>>,
    ) {
        if let Err(error) = password.check_against(&name) {
            reply.send(Err(AuthError::Password(error)));
            return;
        }
        let Some(place) = self.tools.hashing.admit() else {
            reply.send(Err(AuthError::Overloaded));
            return;
        };
        let desk = self.tools.desk.clone();
        linden::spawn(move |_: Cx<()>| async move {
            if let Err(too_many) = AuthAttempts::named().register(from).await? {
                reply.send(Err(too_many.into()));
                return Ok(());
            }
            finish(place, reply, move || desk.register(name, &password)).await
        });
    }

    /// Opens a session for whoever knows the password.
    ///
    /// A wrong password and an unknown name get the same answer after the same work. Each name and
    /// each address has so many attempts; when they are used up, the right password is refused, too.
    #[call]
    pub fn log_in(
        &mut self,
        name: UserName,
        password: String,
        from: IpAddr,
        reply: Reply<Result<Session, AuthError>>,
    ) {
        let Some(place) = self.tools.hashing.admit() else {
            reply.send(Err(AuthError::Overloaded));
            return;
        };
        let desk = self.tools.desk.clone();
        linden::spawn(move |_: Cx<()>| async move {
            let attempts = AuthAttempts::named();
            if let Err(too_many) = attempts.log_in(name.clone(), from).await? {
                reply.send(Err(too_many.into()));
                return Ok(());
            }
            let of_job = name.clone();
            let done = place.run(move || desk.log_in(&of_job, &password)).await??;
            if done.answer.is_ok() {
                attempts.logged_in(name, from);
            }
            answer(reply, done);
            Ok::<(), BoxError>(())
        });
    }

    /// Changes a refresh token for new tokens of the same session.
    ///
    /// A refresh token is good once. One that comes again ends its session: somebody has stolen it,
    /// from the user or the user from them. So a client whose answer was lost must log in again.
    #[call]
    pub fn refresh(&mut self, token: RefreshToken, reply: Reply<Result<Session, AuthError>>) {
        self.write(reply, move |desk| desk.refresh(&token));
    }

    /// Says whose access token it is.
    #[call]
    pub fn verify_token(&self, token: String) -> Result<UserId, TokenError> {
        self.verify(&token).map(|claims| claims.user_id)
    }

    /// Ends the session of an access token. When the answer comes, its tokens are refused, and that is
    /// on disk.
    #[call]
    pub fn log_out(&mut self, token: String, reply: Reply<Result<(), AuthError>>) {
        match self.verify(&token) {
            Ok(claims) => self.write(reply, move |desk| desk.log_out(&claims)),
            Err(error) => {
                reply.send(Err(error.into()));
            }
        }
    }

    /// Ends all sessions of a user, as [`log_out`](AuthServiceClient::log_out) ends one; says how many
    /// there were.
    #[call]
    pub fn log_out_everywhere(&mut self, user_id: UserId, reply: Reply<Result<usize, AuthError>>) {
        self.write(reply, move |desk| desk.log_out_everywhere(user_id));
    }

    /// Answers: the service lives.
    #[call]
    pub fn ping(&self) {}

    /// Suffers a fault, for tests and demonstrations.
    #[cast]
    pub async fn suffer(&mut self, fault: shop_chaos::Fault, cx: &mut Context<Self>) {
        if let Some(rest) = fault.strike().await {
            cx.client().suffer(rest);
        }
    }

    #[cfg(test)]
    #[call]
    fn crash(&mut self, _reply: Reply<()>) {
        panic!("a crash was asked for");
    }

    /// Sessions have ended. Sent by the process that ended them, before it answers its caller.
    #[cast]
    fn revoked(&mut self, revoked: Vec<Revocation>) {
        let now = now();
        revoked.into_iter().for_each(|revocation| self.revoked.insert(revocation, now));
    }

    /// It is time to remove what has expired. The process that does so is linked: when the disk
    /// fails, the service fails with it, and the supervisor decides.
    #[cast]
    fn sweep(&mut self, cx: &mut Context<Self>) {
        self.revoked.forget(now());
        let (own, desk) = (cx.client(), self.tools.desk.clone());
        cx.spawn_link(move |_: Cx<()>| async move {
            own.swept(spawn_blocking(move || desk.sweep()).await??);
            Ok::<(), BoxError>(())
        });
    }

    #[cast]
    fn swept(&mut self, swept: Swept, cx: &mut Context<Self>) {
        let pause = match swept {
            Swept::All => self.tools.sweep_every,
            Swept::Some => Duration::ZERO,
        };
        cx.send_after(pause, AuthServiceMsg::Sweep {});
    }

    fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let claims = self.tools.desk.signer.verify(token, now())?;
        if self.revoked.contains(claims.session_id) {
            return Err(TokenError::SessionEnded);
        }
        Ok(claims)
    }

    /// Answers `reply` from a process of its own.
    fn write<T: Send + 'static>(
        &self,
        reply: Reply<Result<T, AuthError>>,
        work: impl FnOnce(&Desk) -> Result<Done<T>, StoreError> + Send + 'static,
    ) {
        let Some(place) = self.tools.writing.admit() else {
            reply.send(Err(AuthError::Overloaded));
            return;
        };
        let desk = self.tools.desk.clone();
        linden::spawn(move |_: Cx<()>| finish(place, reply, move || work(&desk)));
    }
}

/// For crash reports: how much there is, not what.
impl fmt::Debug for AuthService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthService")
            .field("revoked", &self.revoked.len())
            .field("hashing", &self.tools.hashing)
            .field("writing", &self.tools.writing)
            .finish_non_exhaustive()
    }
}

/// Works and answers. If the store fails, the process that runs this crashes and its caller hears
/// `Exited`; the service goes on.
async fn finish<T: Send + 'static>(
    place: Place,
    reply: Reply<Result<T, AuthError>>,
    work: impl FnOnce() -> Result<Done<T>, StoreError> + Send + 'static,
) -> Result<(), BoxError> {
    answer(reply, place.run(work).await??);
    Ok(())
}

/// First the service is told, then the caller.
fn answer<T>(reply: Reply<Result<T, AuthError>>, done: Done<T>) {
    if !done.revoked.is_empty() {
        AuthService::named().revoked(done.revoked);
    }
    reply.send(done.answer);
}

#[cfg(test)]
mod tests;
