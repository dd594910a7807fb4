//! `auth_service` as others see it: by its name, on a node, over real files.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

use std::{error::Error, time::Duration};

use linden::prelude::*;
use shop_auth::{
    AuthApp, AuthConfig, AuthError, AuthService, AuthServiceClient, HashCost, Password,
    PasswordError, TokenError, UserId, UserName,
};
use tempfile::TempDir;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn config(directory: &TempDir) -> AuthConfig {
    AuthConfig {
        path: directory.path().join("auth.redb"),
        hash_cost: HashCost::CHEAPEST,
        ..AuthConfig::default()
    }
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

#[linden::test]
async fn whoever_registers_can_log_in_and_prove_it() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(config(&directory)).await?;
    assert_eq!(auth.register(name("ada"), password("correct horse")).await??, UserId(1));
    let token = auth.log_in(name("Ada"), "correct horse".to_owned()).await??;
    assert_eq!(auth.verify_token(token.as_str().to_owned()).await??, UserId(1));
    let forged = token.as_str().replace('.', "A.");
    assert!(auth.verify_token(forged).await?.is_err());
    Ok(())
}

#[linden::test]
async fn refusals_say_why_and_change_nothing() -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(config(&directory)).await?;
    auth.register(name("ada"), password("correct horse")).await??;

    let taken = auth.register(name("ada"), password("another horse")).await?;
    assert_eq!(taken, Err(AuthError::NameTaken { name: name("ada") }));
    let same = auth.register(name("lovelace"), password("LoveLace")).await?;
    assert_eq!(same, Err(AuthError::Password(PasswordError::SameAsName)));
    for (user, attempt) in [("ada", "another horse"), ("lovelace", "LoveLace"), ("ada", "")] {
        let refused = auth.log_in(name(user), attempt.to_owned()).await?;
        assert_eq!(refused, Err(AuthError::WrongCredentials), "{user} {attempt}");
    }
    Ok(())
}

#[linden::test]
async fn accounts_and_tokens_outlive_a_crash(node: Node) -> Outcome {
    let directory = tempfile::tempdir()?;
    let auth = start(config(&directory)).await?;
    auth.register(name("ada"), password("correct horse")).await??;
    let token = auth.log_in(name("ada"), "correct horse".to_owned()).await??;

    let pid = auth.pid().ok_or("it runs")?;
    node.exit(pid, Reason::Kill);
    node.wait_exit(pid).await;
    let user = loop {
        match auth.verify_token(token.as_str().to_owned()).await {
            Err(CallError::NoProc | CallError::Exited(_)) => {}
            answer => break answer??,
        }
    };
    assert_eq!(user, UserId(1));
    assert_ne!(auth.pid(), Some(pid));
    auth.log_in(name("ada"), "correct horse".to_owned()).await??;
    Ok(())
}

#[linden::test]
async fn tokens_expire() -> Outcome {
    let directory = tempfile::tempdir()?;
    let config = AuthConfig { token_ttl: Duration::ZERO, ..config(&directory) };
    let auth = start(config).await?;
    auth.register(name("ada"), password("correct horse")).await??;
    let token = auth.log_in(name("ada"), "correct horse".to_owned()).await??;
    let expired = auth.verify_token(token.as_str().to_owned()).await?;
    assert_eq!(expired, Err(TokenError::Expired));
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
    assert_eq!(plain.token_ttl, Duration::from_secs(3600));
    let set = read(&[("TOKEN_TTL", "90s"), ("HASH_COST__PASSES", "3")]).unwrap();
    assert_eq!((set.token_ttl.as_secs(), set.hash_cost.passes), (90, 3));
    assert_eq!(set.hash_cost.memory_kib, HashCost::default().memory_kib);
    assert!(read(&[("HASHES_MAX", "0")]).is_err());
    assert!(read(&[("PATHS", "x")]).is_err());
}
