//! Sessions over a real file; the time is an argument.

use std::{num::NonZeroUsize, time::Duration};

use tempfile::TempDir;

use super::*;

const POLICY: SessionPolicy = SessionPolicy {
    access_ttl: Duration::from_secs(100),
    session_ttl: Duration::from_secs(1_000),
    per_account_max: NonZeroUsize::new(3).unwrap(),
};

fn open(directory: &TempDir) -> SessionStore {
    let accounts = AccountStore::open(directory.path().join("auth.redb")).unwrap();
    SessionStore::beside(&accounts).unwrap()
}

/// The first token of session `id`.
fn first(id: u8) -> RefreshParts {
    RefreshParts::new([id; 64])
}

/// Opens session `id` of user 7 at that time.
fn begin(store: &SessionStore, id: u8, now: u64) -> Vec<Revocation> {
    let (first, now) = (first(id), UnixTime(now));
    let session = StoredSession::begin(UserId(7), &first, &POLICY, now);
    store.insert(first.session_id, &session, &POLICY).unwrap()
}

fn rotate(store: &SessionStore, old: &RefreshParts, secret: u8, now: u64) -> Rotation {
    store.rotate(old, &old.next([secret; 32]), &POLICY, UnixTime(now)).unwrap()
}

fn revocation(id: u8, until: u64) -> Revocation {
    Revocation { until: UnixTime(until), session_id: first(id).session_id }
}

/// Rows of each table.
fn rows(store: &SessionStore) -> [u64; 4] {
    let read = store.database.begin_read().unwrap();
    let len = |table| read.open_table(table).unwrap().len().unwrap();
    [store.count().unwrap(), len(OF_USERS), len(ENDS), len(REVOCATIONS)]
}

#[test]
fn a_session_goes_on_after_the_file_was_closed() {
    let directory = tempfile::tempdir().unwrap();
    begin(&open(&directory), 1, 5_000);
    let store = open(&directory);
    let Rotation::GoesOn(session) = rotate(&store, &first(1), 9, 5_010) else { panic!() };
    assert_eq!((session.user_id, session.expires_at), (UserId(7), UnixTime(6_000)));
    let again = rotate(&store, &first(1).next([9; 32]), 10, 5_020);
    assert!(matches!(again, Rotation::GoesOn(_)), "{again:?}");
}

#[test]
fn a_token_that_is_used_twice_ends_its_session_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    begin(&store, 1, 5_000);
    begin(&store, 2, 5_000);
    assert!(matches!(rotate(&store, &first(1), 9, 5_050), Rotation::GoesOn(_)));
    let reused = rotate(&store, &first(1), 10, 5_060);
    assert_eq!(reused, Rotation::Reused(Some(revocation(1, 5_150))));
    let current = rotate(&store, &first(1).next([9; 32]), 11, 5_061);
    assert_eq!(current, Rotation::Refused(TokenError::SessionEnded));
    assert_eq!(rows(&store), [1, 1, 1, 1]);
    drop(store);
    assert_eq!(open(&directory).revocations(UnixTime(5_061)).unwrap(), [revocation(1, 5_150)]);
}

#[test]
fn of_two_who_use_a_token_at_once_one_is_second() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    begin(&store, 1, 5_000);
    let outcomes = std::thread::scope(|scope| {
        let tries = [9, 10].map(|secret| {
            let store = &store;
            scope.spawn(move || {
                matches!(rotate(store, &first(1), secret, 5_000), Rotation::GoesOn(_))
            })
        });
        tries.map(|thread| thread.join().unwrap())
    });
    assert!(outcomes[0] != outcomes[1], "{outcomes:?}");
    assert_eq!(store.count().unwrap(), 0, "the second one ended it");
}

#[test]
fn made_up_tokens_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    begin(&store, 1, 5_000);
    let mut family_guessed = [9; 64];
    family_guessed[..16].fill(1);
    for token in [first(2), RefreshParts::new(family_guessed)] {
        let refused = rotate(&store, &token, 3, 5_000);
        assert_eq!(refused, Rotation::Refused(TokenError::SessionEnded));
    }
    assert_eq!(rows(&store), [1, 1, 1, 0]);
}

#[test]
fn one_session_too_many_ends_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for (id, now) in [(9, 5_000), (8, 5_001), (7, 5_002)] {
        assert_eq!(begin(&store, id, now), []);
    }
    assert_eq!(begin(&store, 6, 5_003), [revocation(9, 5_100)]);
    assert_eq!(begin(&store, 5, 5_500), [], "the access tokens of 8 have expired");
    let current = rotate(&store, &first(8), 1, 5_500);
    assert_eq!(current, Rotation::Refused(TokenError::SessionEnded));
    assert_eq!(rows(&store), [3, 3, 3, 1]);
}

#[test]
fn ending_is_said_once_and_all_of_a_user_end_together() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for id in 1..=3 {
        begin(&store, id, 5_000);
    }
    let now = UnixTime(5_010);
    let id = first(1).session_id;
    assert_eq!(store.end(id, now).unwrap(), Some(revocation(1, 5_100)));
    assert_eq!(store.end(id, now).unwrap(), None);
    let ended = store.end_all(UserId(7), now).unwrap();
    let revoked = vec![revocation(2, 5_100), revocation(3, 5_100)];
    assert_eq!(ended, Ended { sessions: 2, revoked });
    assert_eq!(store.end_all(UserId(8), now).unwrap(), Ended { sessions: 0, revoked: vec![] });
    assert_eq!(store.revocations(now).unwrap().len(), 3);
    assert_eq!(store.revocations(UnixTime(5_100)).unwrap(), []);
    assert_eq!(rows(&store), [0, 0, 0, 3]);
}

#[test]
fn a_sweep_removes_what_has_expired_in_bounded_steps() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for id in 1..=3 {
        begin(&store, id, 5_000);
    }
    assert_eq!(store.end(first(3).session_id, UnixTime(5_000)).unwrap().map(|_| ()), Some(()));
    begin(&store, 4, 5_900);
    let sweep = |now, max| store.sweep(UnixTime(now), max).unwrap();
    assert_eq!((sweep(5_099, 1), rows(&store)), (Swept::All, [3, 3, 3, 1]));
    assert_eq!((sweep(5_100, 2), rows(&store)), (Swept::All, [3, 3, 3, 0]));
    assert_eq!((sweep(6_000, 1), rows(&store)), (Swept::Some, [2, 2, 2, 0]));
    assert_eq!((sweep(6_000, 2), rows(&store)), (Swept::All, [1, 1, 1, 0]));
    assert!(matches!(rotate(&store, &first(4), 1, 6_000), Rotation::GoesOn(_)));
}

#[test]
fn no_secret_is_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let token = RefreshParts::new(std::array::from_fn(|index| 0x80 | index as u8));
    let session = StoredSession::begin(UserId(7), &token, &POLICY, UnixTime(5_000));
    store.insert(token.session_id, &session, &POLICY).unwrap();
    drop(store);
    let file = std::fs::read(directory.path().join("auth.redb")).unwrap();
    let has = |bytes: &[u8]| file.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(&token.session_id.0.to_le_bytes()), "the session is there");
    let (family, secret): (Vec<u8>, Vec<u8>) = ((0x90..0xa0).collect(), (0xa0..0xc0).collect());
    assert!(!has(&family[..8]) && !has(&secret[..8]));
}

mod model;
