//! The service from inside: full queues, the list of ended sessions, crash reports.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, mpsc},
};

use linden::{CrashReporter, NodeOptions};
use tempfile::TempDir;

use super::*;
use crate::{
    AccountStore, AttemptLimits, HashCost, PasswordHasher, SessionPolicy, SessionStore, TokenKey,
    TokenSigner, token::Token,
};

const PASSWORD: &str = "correct horse";
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn tools(directory: &TempDir) -> AuthTools {
    let accounts = AccountStore::open(directory.path().join("auth.redb")).unwrap();
    let desk = Desk {
        sessions: SessionStore::beside(&accounts).unwrap(),
        accounts,
        hasher: PasswordHasher::new(HashCost::CHEAPEST).unwrap(),
        signer: TokenSigner::new(TokenKey::from_bytes([7; 32])),
        policy: SessionPolicy {
            access_ttl: 60.secs(),
            session_ttl: 60.mins(),
            per_account_max: NonZeroUsize::new(2).unwrap(),
        },
    };
    let bounds = Bounds {
        hashes_max: NonZeroUsize::MIN,
        hashes_waiting_max: 1,
        writes_waiting_max: 1,
        sweep_every: 60.mins(),
    };
    AuthTools::new(desk, bounds)
}

/// Both processes, on the current node.
async fn start(tools: &AuthTools) -> AuthServiceClient {
    let tools = tools.clone();
    Supervisor::one_for_one()
        .intensity(1_000, 10.secs())
        .child(child("auth_attempts", || AuthAttempts::new(&AttemptLimits::default())))
        .child(child("auth_service", move || AuthService::open(tools.clone())))
        .start()
        .await
        .unwrap();
    AuthService::named()
}

fn ada() -> UserName {
    UserName::new("ada").unwrap()
}

async fn registered(auth: &AuthServiceClient) -> UserId {
    auth.register(ada(), Password::new(PASSWORD).unwrap(), HERE).await.unwrap().unwrap()
}

async fn logged_in(auth: &AuthServiceClient) -> Session {
    auth.log_in(ada(), PASSWORD.to_owned(), HERE).await.unwrap().unwrap()
}

fn text(token: &Token) -> String {
    token.as_str().to_owned()
}

/// Whether the service's state, as observers see it, has these words.
async fn until_state(auth: &AuthServiceClient, words: &str) {
    while !auth.state().await.unwrap().unwrap().contains(words) {}
}

#[linden::test]
async fn too_many_hashes_are_refused_and_hinder_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let tools = tools(&directory);
    let auth = start(&tools).await;
    registered(&auth).await;
    let session = logged_in(&auth).await;

    let busy = [tools.hashing.admit().unwrap(), tools.hashing.admit().unwrap()];
    let eve = || UserName::new("eve").unwrap();
    let register = auth.register(eve(), Password::new(PASSWORD).unwrap(), HERE).await;
    assert_eq!(register, Ok(Err(AuthError::Overloaded)));
    let log_in = auth.log_in(ada(), PASSWORD.to_owned(), HERE).await;
    assert_eq!(log_in, Ok(Err(AuthError::Overloaded)));
    assert_eq!(auth.verify_token(text(&session.access)).await, Ok(Ok(UserId(1))));
    let session = auth.refresh(session.refresh).await.unwrap().unwrap();
    assert_eq!(auth.log_out(text(&session.access)).await, Ok(Ok(())));

    drop(busy);
    let register = auth.register(eve(), Password::new(PASSWORD).unwrap(), HERE).await;
    assert_eq!(register, Ok(Ok(UserId(2))));
}

#[linden::test]
async fn eight_log_ins_at_once_wait_for_their_hash_and_nobody_waits_for_them() {
    let directory = tempfile::tempdir().unwrap();
    let mut tools = tools(&directory);
    tools.hashing = Turns::new(NonZeroUsize::MIN, 8);
    tools.desk.policy.per_account_max = NonZeroUsize::new(9).unwrap();
    let auth = start(&tools).await;
    registered(&auth).await;
    let session = logged_in(&auth).await;

    // A hash that ends when the test says so.
    let (go_on, wait) = mpsc::channel::<()>();
    let place = tools.hashing.admit().unwrap();
    let (began, begins) = mpsc::channel();
    let work = move || {
        let _ = began.send(());
        wait.recv()
    };
    let busy = Task::spawn_unlinked(async move { place.run(work).await.is_ok() });
    // On a thread that may block: the turn is taken before anybody else may have it.
    tokio::task::spawn_blocking(move || begins.recv()).await.unwrap().unwrap();
    let log_ins = [(); 8].map(|()| {
        let auth = auth.clone();
        Task::spawn_unlinked(async move { auth.log_in(ada(), PASSWORD.to_owned(), HERE).await })
    });
    until_state(&auth, "hashing: Turns(0 free to run, 0 places)").await;
    for _ in 0..1_000 {
        assert_eq!(auth.verify_token(text(&session.access)).await, Ok(Ok(UserId(1))));
    }
    let session = auth.refresh(session.refresh).await.unwrap().unwrap();
    assert_eq!(auth.log_out(text(&session.access)).await, Ok(Ok(())));

    drop(go_on);
    assert_eq!(busy.await, Ok(true));
    for log_in in Task::await_many(log_ins).await {
        assert!(log_in.unwrap().unwrap().is_ok());
    }
}

#[linden::test]
async fn too_many_writes_are_refused_and_hinder_no_log_in() {
    let directory = tempfile::tempdir().unwrap();
    let tools = tools(&directory);
    let auth = start(&tools).await;
    registered(&auth).await;
    let busy = [tools.writing.admit().unwrap(), tools.writing.admit().unwrap()];
    let session = logged_in(&auth).await;
    let refresh = auth.refresh(session.refresh.clone()).await;
    assert_eq!(refresh, Ok(Err(AuthError::Overloaded)));
    let log_out = auth.log_out(text(&session.access)).await;
    assert_eq!(log_out, Ok(Err(AuthError::Overloaded)));
    let everywhere = auth.log_out_everywhere(UserId(1)).await;
    assert_eq!(everywhere, Ok(Err(AuthError::Overloaded)));
    assert_eq!(auth.verify_token(text(&session.access)).await, Ok(Ok(UserId(1))));
    drop(busy);
    assert_eq!(auth.log_out(text(&session.access)).await, Ok(Ok(())));
}

#[linden::test]
async fn a_session_that_ends_while_the_service_is_dead_is_known_to_its_successor(node: Node) {
    let directory = tempfile::tempdir().unwrap();
    let tools = tools(&directory);
    let auth = start(&tools).await;
    let user = registered(&auth).await;
    let session = logged_in(&auth).await;

    // The disk is busy, so the log-out is still under way when the service dies.
    let lock = tools.desk.accounts.lock();
    let of_task = auth.clone();
    let log_out = Task::spawn_unlinked(async move { of_task.log_out_everywhere(user).await });
    until_state(&auth, "writing: Turns(0 free").await;
    let pid = auth.pid().unwrap();
    node.exit(pid, Reason::Kill);
    node.wait_exit(pid).await;
    drop(lock);
    assert_eq!(log_out.await.unwrap(), Ok(Ok(1)), "its process has outlived the service");
    let refused = loop {
        match auth.verify_token(text(&session.access)).await {
            Err(CallError::NoProc | CallError::Exited(_)) => {}
            answer => break answer.unwrap(),
        }
    };
    assert_eq!(refused, Err(TokenError::SessionEnded));
}

#[linden::test]
async fn expired_sessions_are_swept() {
    let directory = tempfile::tempdir().unwrap();
    let mut tools = tools(&directory);
    tools.desk.policy.session_ttl = Duration::ZERO;
    tools.sweep_every = 1.ms();
    let auth = start(&tools).await;
    registered(&auth).await;
    let session = logged_in(&auth).await;
    let expired = auth.refresh(session.refresh.clone()).await.unwrap();
    assert!(
        matches!(expired, Err(AuthError::Token(TokenError::Expired | TokenError::SessionEnded))),
        "{expired:?}"
    );
    while tools.desk.sessions.count().unwrap() > 0 {}
    let swept = auth.refresh(session.refresh).await.unwrap();
    assert_eq!(swept, Err(AuthError::Token(TokenError::SessionEnded)));
}

/// Keeps all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn write(&self, text: &dyn Debug) {
        self.0.lock().unwrap().push_str(&format!("{text:?}\n"));
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.write(span);
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        self.write(values);
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        self.write(event);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_crash_with_passwords_in_flight_reports_none_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).expect("no other test sets one");
    let options =
        NodeOptions { exit_listener: Some(Arc::new(CrashReporter)), ..NodeOptions::default() };
    let node = Node::start(options).unwrap();
    let secrets = node.block_on(crash_with_secrets_in_flight(&directory));
    node.stop(5.secs());
    let log = log.0.lock().unwrap();
    assert!(log.contains("AuthService { revoked: 1"), "the state is in the report:\n{log}");
    assert!(log.contains("the log-in broke on purpose"), "both reports are there:\n{log}");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in\n{log}");
    }
}

/// Gives what must not be seen.
async fn crash_with_secrets_in_flight(directory: &TempDir) -> Vec<String> {
    let tools = tools(directory);
    let auth = start(&tools).await;
    registered(&auth).await;
    let [ended, open] = [logged_in(&auth).await, logged_in(&auth).await];
    auth.log_out(text(&ended.access)).await.unwrap().unwrap();

    let (go_on, wait) = mpsc::channel::<()>();
    let place = tools.hashing.admit().unwrap();
    let (began, begins) = mpsc::channel();
    let work = move || {
        let _ = began.send(());
        wait.recv()
    };
    let busy = Task::spawn_unlinked(async move { place.run(work).await.is_ok() });
    // Else the log-in may have its turn first, and is through.
    begins.recv().unwrap();
    let of_task = auth.clone();
    let log_in = Task::spawn_unlinked(async move {
        of_task.log_in(ada(), "incorrect horse".to_owned(), HERE).await
    });
    until_state(&auth, "hashing: Turns(0 free to run, 0 places)").await;
    let crash = auth.crash().await;
    assert!(matches!(crash, Err(CallError::Exited(Reason::Panic(_)))), "{crash:?}");
    drop(go_on);
    assert_eq!(busy.await, Ok(true));
    assert_eq!(log_in.await.unwrap(), Ok(Err(AuthError::WrongCredentials)));

    // A request whose job panics: its process crashes with the password in its hands.
    let password = "incorrect horse".to_owned();
    let (reply, answer) = linden::reply_channel::<Result<(), AuthError>>();
    let place = tools.hashing.admit().unwrap();
    linden::spawn(move |_: Cx<()>| finish(place, reply, move || break_with(&password)));
    assert!(answer.await.is_err());

    let hash = tools.desk.accounts.by_name(&ada()).unwrap().unwrap().password_hash;
    let tokens = [ended, open]
        .map(|session| [text(&session.access), session.refresh.as_str().to_owned()])
        .concat();
    let others = [PASSWORD.to_owned(), "incorrect horse".to_owned(), hash.as_str().to_owned()];
    [tokens, others.to_vec()].concat()
}

fn break_with(password: &str) -> Result<Done<()>, StoreError> {
    panic!("the log-in broke on purpose, {} bytes", password.len());
}
