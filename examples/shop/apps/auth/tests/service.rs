//! `auth_service` as others see it: by its name, on a node, over real files.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroUsize,
    time::Duration,
};

use linden::prelude::*;
use shop_auth::{
    AttemptLimits, AuthApp, AuthAttempts, AuthConfig, AuthError, AuthReport, AuthService,
    AuthServiceClient, HashCost, Password, PasswordError, Rate, RefreshToken, Session, TokenError,
    UserId, UserName, verify_file,
};
use tempfile::TempDir;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn config(directory: &TempDir) -> AuthConfig {
    AuthConfig {
        path: directory.path().join("auth.redb"),
        hash_cost: HashCost::CHEAPEST,
        ..AuthConfig::default()
    }
}

/// As [`config`], with attempts that do not come back during a test.
fn strict(directory: &TempDir, name: u32, address: u32, registrations: u32) -> AuthConfig {
    let rate = |burst| Rate::new(burst, 3_600);
    let attempts = AttemptLimits {
        log_ins_per_account: rate(name),
        log_ins_per_address: rate(address),
        registrations_per_address: rate(registrations),
        ..AttemptLimits::default()
    };
    AuthConfig { attempts, ..config(directory) }
}

/// Starts the application on the test's node.
async fn start(config: AuthConfig) -> Result<AuthServiceClient, BoxError> {
    AuthApp.start(config)?.start().await?;
    Ok(AuthService::named())
}

fn name(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn password(password: &str) -> Password {
    Password::new(password).unwrap()
}

async fn registered(auth: &AuthServiceClient, user: &str) -> UserId {
    auth.register(name(user), password("correct horse"), HERE).await.unwrap().unwrap()
}

async fn log_in(
    auth: &AuthServiceClient,
    user: &str,
    password: &str,
) -> Result<Session, AuthError> {
    auth.log_in(name(user), password.to_owned(), HERE).await.unwrap()
}

async fn verify(auth: &AuthServiceClient, session: &Session) -> Result<UserId, TokenError> {
    loop {
        match auth.verify_token(session.access.as_str().to_owned()).await {
            Err(CallError::NoProc | CallError::Exited(_)) => {}
            answer => break answer.unwrap(),
        }
    }
}

async fn log_out(auth: &AuthServiceClient, session: &Session) -> Result<(), AuthError> {
    auth.log_out(session.access.as_str().to_owned()).await.unwrap()
}

/// Returns when the service's process has ended. Its supervisor starts another one.
async fn kill(node: &Node, pid: Option<Pid>) {
    let pid = pid.unwrap();
    node.exit(pid, Reason::Kill);
    node.wait_exit(pid).await;
}

#[linden::test]
async fn whoever_registers_can_log_in_and_prove_it() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(config(&directory)).await?;
    assert_eq!(registered(&auth, "ada").await, UserId(1));
    let session = log_in(&auth, "Ada", "correct horse").await?;
    assert_eq!(session.user_id, UserId(1));
    assert_eq!(session.refresh_expires_at.0 - session.access_expires_at.0, (30 * 24 * 4 - 1) * 900);
    assert_eq!(verify(&auth, &session).await, Ok(UserId(1)));
    let forged = session.access.as_str().replace('.', "A.");
    assert_eq!(auth.verify_token(forged).await?, Err(TokenError::Malformed));
    Ok(())
}

#[linden::test]
async fn refusals_say_why_and_change_nothing() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(config(&directory)).await?;
    registered(&auth, "ada").await;

    let taken = auth.register(name("ada"), password("another horse"), HERE).await?;
    assert_eq!(taken, Err(AuthError::NameTaken { name: name("ada") }));
    let same = auth.register(name("lovelace"), password("LoveLace"), HERE).await?;
    assert_eq!(same, Err(AuthError::Password(PasswordError::SameAsName)));
    for (user, attempt) in [
        ("ada", "another horse"),
        ("lovelace", "LoveLace"),
        ("ada", ""),
        ("ada", &"x".repeat(9_999)),
    ] {
        let refused = log_in(&auth, user, attempt).await;
        assert_eq!(refused, Err(AuthError::WrongCredentials), "{user} {attempt}");
    }
    Ok(())
}

#[linden::test]
async fn a_refresh_gives_new_tokens_of_the_same_session() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(config(&directory)).await?;
    registered(&auth, "ada").await;
    let first = log_in(&auth, "ada", "correct horse").await?;
    let second = auth.refresh(first.refresh.clone()).await??;
    assert_ne!(first.refresh, second.refresh);
    assert_eq!(first.refresh_expires_at, second.refresh_expires_at);
    assert_eq!(verify(&auth, &first).await, Ok(UserId(1)), "until it expires");
    assert_eq!(verify(&auth, &second).await, Ok(UserId(1)));
    let third = auth.refresh(second.refresh).await??;
    assert_eq!(log_out(&auth, &third).await, Ok(()));
    assert_eq!(verify(&auth, &first).await, Err(TokenError::SessionEnded));
    for text in ["", "no token", &"A".repeat(86)] {
        let refused = auth.refresh(RefreshToken::offered(text)).await?;
        let error = if text.len() == 86 { TokenError::SessionEnded } else { TokenError::Malformed };
        assert_eq!(refused, Err(AuthError::Token(error)), "{text:?}");
    }
    Ok(())
}

#[linden::test]
async fn a_stolen_refresh_token_ends_the_session_of_user_and_thief() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(config(&directory)).await?;
    registered(&auth, "ada").await;
    let (user, other) = (
        log_in(&auth, "ada", "correct horse").await?,
        log_in(&auth, "ada", "correct horse").await?,
    );
    let mut thief = auth.refresh(user.refresh.clone()).await??;
    for _ in 0..3 {
        thief = auth.refresh(thief.refresh).await??;
    }
    let reused = auth.refresh(user.refresh.clone()).await?;
    assert_eq!(reused, Err(AuthError::Token(TokenError::Reused)));
    assert_eq!(verify(&auth, &thief).await, Err(TokenError::SessionEnded));
    let ended = auth.refresh(thief.refresh).await?;
    assert_eq!(ended, Err(AuthError::Token(TokenError::SessionEnded)));
    assert_eq!(verify(&auth, &other).await, Ok(UserId(1)), "another session of the user goes on");
    Ok(())
}

#[linden::test]
async fn a_log_out_holds_at_once_and_for_ever(node: Node) -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(config(&directory)).await?;
    registered(&auth, "ada").await;
    let sessions = [
        log_in(&auth, "ada", "correct horse").await?,
        log_in(&auth, "ada", "correct horse").await?,
    ];
    assert_eq!(log_out(&auth, &sessions[0]).await, Ok(()));
    for crashed in [false, true] {
        if crashed {
            kill(&node, auth.pid()).await;
        }
        assert_eq!(verify(&auth, &sessions[0]).await, Err(TokenError::SessionEnded));
        let refreshed = auth.refresh(sessions[0].refresh.clone()).await?;
        assert_eq!(refreshed, Err(AuthError::Token(TokenError::SessionEnded)));
        let again = log_out(&auth, &sessions[0]).await;
        assert_eq!(again, Err(AuthError::Token(TokenError::SessionEnded)));
        assert_eq!(verify(&auth, &sessions[1]).await, Ok(UserId(1)));
    }
    Ok(())
}

#[linden::test]
async fn all_sessions_of_a_user_end_together() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(config(&directory)).await?;
    registered(&auth, "ada").await;
    let eve = registered(&auth, "eve").await;
    let ada: [Session; 2] = [
        log_in(&auth, "ada", "correct horse").await?,
        log_in(&auth, "ada", "correct horse").await?,
    ];
    let of_eve = log_in(&auth, "eve", "correct horse").await?;
    assert_eq!(auth.log_out_everywhere(UserId(1)).await?, Ok(2));
    for session in &ada {
        assert_eq!(verify(&auth, session).await, Err(TokenError::SessionEnded));
    }
    assert_eq!(verify(&auth, &of_eve).await, Ok(eve));
    assert_eq!(auth.log_out_everywhere(UserId(1)).await?, Ok(0));
    Ok(())
}

#[linden::test]
async fn one_log_in_too_many_ends_the_oldest_session() -> Outcome {
    let directory = tempfile::tempdir()?;
    let sessions_per_account_max = NonZeroUsize::MIN;
    let auth = start(AuthConfig { sessions_per_account_max, ..config(&directory) }).await?;
    registered(&auth, "ada").await;
    let old = log_in(&auth, "ada", "correct horse").await?;
    let new = log_in(&auth, "ada", "correct horse").await?;
    assert_eq!(verify(&auth, &old).await, Err(TokenError::SessionEnded));
    assert_eq!(verify(&auth, &new).await, Ok(UserId(1)));
    Ok(())
}

#[linden::test]
async fn accounts_and_sessions_outlive_a_crash(node: Node) -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(config(&directory)).await?;
    registered(&auth, "ada").await;
    let session = log_in(&auth, "ada", "correct horse").await?;
    let pid = auth.pid();
    kill(&node, pid).await;
    assert_eq!(verify(&auth, &session).await, Ok(UserId(1)));
    assert_ne!(auth.pid(), pid);
    auth.refresh(session.refresh).await??;
    log_in(&auth, "ada", "correct horse").await?;
    Ok(())
}

#[test]
fn accounts_sessions_and_log_outs_outlive_the_node_and_a_kill_of_its_program() -> Outcome {
    let (directory, killed) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let on_a_node = || Node::start(linden::NodeOptions::default());
    let node = on_a_node()?;
    let [ended, open] = node.block_on(async {
        let auth = start(config(&directory)).await?;
        registered(&auth, "ada").await;
        let sessions = [
            log_in(&auth, "ada", "correct horse").await?,
            log_in(&auth, "ada", "correct horse").await?,
        ];
        log_out(&auth, &sessions[0]).await?;
        // What a program that is killed now would leave behind.
        for file in ["auth.redb", "token.key"] {
            std::fs::copy(directory.path().join(file), killed.path().join(file))?;
        }
        Ok::<_, BoxError>(sessions)
    })?;
    node.stop(5.secs());

    for directory in [&directory, &killed] {
        let node = on_a_node()?;
        node.block_on(async {
            let auth = start(config(directory)).await?;
            assert_eq!(verify(&auth, &ended).await, Err(TokenError::SessionEnded));
            assert_eq!(verify(&auth, &open).await, Ok(UserId(1)));
            auth.refresh(open.refresh.clone()).await??;
            Ok::<_, BoxError>(())
        })?;
        node.stop(5.secs());
        let report = verify_file(directory.path().join("auth.redb"))?;
        assert_eq!(report, AuthReport { accounts: 1, sessions: 1 });
    }
    Ok(())
}

#[linden::test]
async fn guesses_are_limited_alike_for_names_with_and_without_an_account(node: Node) -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(strict(&directory, 3, 100, 100)).await?;
    registered(&auth, "ada").await;
    let session = log_in(&auth, "ada", "correct horse").await?;
    for user in ["ada", "nobody"] {
        for _ in 0..3 {
            let refused = log_in(&auth, user, "wrong horse").await;
            assert_eq!(refused, Err(AuthError::WrongCredentials), "{user}");
        }
        for attempt in ["wrong horse", "correct horse"] {
            let refused = log_in(&auth, user, attempt).await;
            assert!(
                matches!(refused, Err(AuthError::TooManyAttempts { retry_after })
                    if retry_after <= Duration::from_secs(3_600)),
                "{user} {attempt}: {refused:?}"
            );
        }
    }
    kill(&node, auth.pid()).await;
    assert_eq!(verify(&auth, &session).await, Ok(UserId(1)), "open sessions go on");
    let locked = log_in(&auth, "ada", "correct horse").await;
    assert!(matches!(locked, Err(AuthError::TooManyAttempts { .. })), "also after a crash");
    Ok(())
}

#[linden::test]
async fn right_passwords_use_no_attempts_up() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(strict(&directory, 2, 2, 100)).await?;
    registered(&auth, "ada").await;
    for _ in 0..5 {
        log_in(&auth, "ada", "correct horse").await?;
    }
    assert_eq!(log_in(&auth, "ada", "wrong horse").await, Err(AuthError::WrongCredentials));
    log_in(&auth, "ada", "correct horse").await?;
    Ok(())
}

#[linden::test]
async fn many_guesses_at_once_are_no_way_around_the_limit() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(strict(&directory, 3, 100, 100)).await?;
    registered(&auth, "ada").await;
    let guesses = (0..20).map(|_| {
        let auth = auth.clone();
        Task::spawn_unlinked(async move { log_in(&auth, "ada", "wrong horse").await })
    });
    let answers = Task::await_many(guesses.collect::<Vec<_>>()).await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    let looked_at = answers.iter().filter(|answer| **answer == Err(AuthError::WrongCredentials));
    assert_eq!(looked_at.count(), 3, "{answers:?}");
    Ok(())
}

#[linden::test]
async fn an_address_has_so_many_guesses_over_all_names() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(strict(&directory, 100, 3, 100)).await?;
    registered(&auth, "ada").await;
    for user in ["bob", "eve", "dan"] {
        let refused = log_in(&auth, user, "wrong horse").await;
        assert_eq!(refused, Err(AuthError::WrongCredentials), "{user}");
    }
    let refused = log_in(&auth, "ada", "correct horse").await;
    assert!(matches!(refused, Err(AuthError::TooManyAttempts { .. })), "{refused:?}");
    auth.log_in(name("ada"), "correct horse".to_owned(), ELSEWHERE).await??;
    Ok(())
}

#[linden::test]
async fn an_address_has_so_many_registrations() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(strict(&directory, 100, 100, 2)).await?;
    registered(&auth, "ada").await;
    let taken = auth.register(name("ada"), password("correct horse"), HERE).await?;
    assert_eq!(taken, Err(AuthError::NameTaken { name: name("ada") }));
    for user in ["ada", "eve"] {
        let refused = auth.register(name(user), password("correct horse"), HERE).await?;
        assert!(matches!(refused, Err(AuthError::TooManyAttempts { .. })), "{user}: {refused:?}");
    }
    auth.register(name("eve"), password("correct horse"), ELSEWHERE).await??;
    Ok(())
}

#[linden::test]
async fn nobody_logs_in_while_attempts_are_not_counted(node: Node) -> Outcome {
    let directory = tempfile::tempdir()?;
    AuthApp.start(config(&directory))?.start().await?;
    let auth = AuthService::named();
    registered(&auth, "ada").await;
    let supervisor = linden::SupervisorRef::by_name(&node, "auth_sup");
    supervisor.terminate_child("auth_attempts").await?;
    let refused = auth.log_in(name("ada"), "correct horse".to_owned(), HERE).await;
    assert!(matches!(refused, Err(CallError::Exited(_))), "{refused:?}");
    supervisor.restart_child("auth_attempts").await?;
    log_in(&auth, "ada", "correct horse").await?;
    assert!(AuthAttempts::named().pid().is_some());
    Ok(())
}

#[linden::test]
async fn access_tokens_expire() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(AuthConfig { access_ttl: Duration::ZERO, ..config(&directory) }).await?;
    registered(&auth, "ada").await;
    let session = log_in(&auth, "ada", "correct horse").await?;
    assert_eq!(verify(&auth, &session).await, Err(TokenError::Expired));
    let refreshed = auth.refresh(session.refresh).await??;
    assert_eq!(verify(&auth, &refreshed).await, Err(TokenError::Expired));
    Ok(())
}

#[test]
fn the_configuration_is_read_with_its_defaults() {
    let read = |env: &[(&str, &str)]| {
        let env = env.iter().map(|(key, value)| (format!("LINDEN__AUTH__{key}"), (*value).into()));
        linden::config::Config::load(None, env).unwrap().section::<AuthConfig>("auth")
    };
    let plain = read(&[]).unwrap();
    assert_eq!(plain.path.to_str(), Some("data/auth.redb"));
    assert_eq!(plain.access_ttl, Duration::from_secs(900));
    assert_eq!(plain.attempts, AttemptLimits::default());
    let set = read(&[
        ("ACCESS_TTL", "90s"),
        ("HASH_COST__PASSES", "3"),
        ("ATTEMPTS__LOG_INS_PER_ACCOUNT", "{ burst = 5, every = '1h' }"),
    ])
    .unwrap();
    assert_eq!((set.access_ttl.as_secs(), set.hash_cost.passes), (90, 3));
    assert_eq!(set.hash_cost.memory_kib, HashCost::default().memory_kib);
    let attempts =
        AttemptLimits { log_ins_per_account: Rate::new(5, 3_600), ..AttemptLimits::default() };
    assert_eq!(set.attempts, attempts);
    assert!(read(&[("HASHES_MAX", "0")]).is_err());
    assert!(read(&[("SESSIONS_PER_ACCOUNT_MAX", "0")]).is_err());
    assert!(read(&[("ATTEMPTS__LOG_INS_PER_ACCOUNT", "{ burst = 0, every = '1h' }")]).is_err());
    assert!(read(&[("PATHS", "x")]).is_err());
}
