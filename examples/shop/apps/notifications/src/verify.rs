//! The invariants of the inboxes, checked in a file that nobody uses: what `shop verify` calls.

use std::{collections::BTreeMap, error::Error, fmt, path::Path};

use redb::{ReadTransaction, ReadableDatabase as _, ReadableTable as _};
use serde::Serialize;
use shop_billing::UserId;
use shop_catalog::OrderId;
use shop_storage::{Fault, OpenError};

use crate::{
    Kind,
    inbox::{MESSAGES, SCHEMA, TOLD, decode},
};

/// What sound inboxes hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InboxReport {
    /// Users who have messages.
    pub users: u64,
    /// Messages of all users.
    pub messages: u64,
    /// The last news of each order of which there is a message.
    pub last_news: BTreeMap<OrderId, Kind>,
}

/// Checks the file.
///
/// # Errors
/// [`VerifyError`]: the file cannot be read, or the first message that breaks a rule.
pub fn verify_file(path: &Path) -> Result<InboxReport, VerifyError> {
    let database = shop_storage::open(path, SCHEMA).map_err(VerifyError::Open)?;
    let transaction = database.begin_read().map_err(Fault::from)?;
    verify(&transaction)
}

pub(crate) fn verify(transaction: &ReadTransaction) -> Result<InboxReport, VerifyError> {
    let mut report = InboxReport::default();
    let mut last = None;
    let messages = transaction.open_table(MESSAGES).map_err(Fault::from)?;
    let told = transaction.open_table(TOLD).map_err(Fault::from)?;
    for row in messages.iter().map_err(Fault::from)? {
        let (key, bytes) = row.map_err(Fault::from)?;
        let (user, number) = key.value();
        let (user_id, message) = (UserId(user), decode(key.value(), bytes.value())?);
        match last.replace((user, number)) {
            Some((known, before)) if known == user => {
                if number != before + 1 {
                    return Err(VerifyError::Gap { user_id, number });
                }
            }
            _ => report.users += 1,
        }
        let notice = message.notice;
        let mark = told.get((notice.order_id.0, notice.kind.number())).map_err(Fault::from)?;
        let is_marked = mark.is_some_and(|mark| mark.value() == (user, number));
        if !is_marked || notice.user_id != user_id || message.number != number {
            return Err(VerifyError::Misplaced { user_id, number });
        }
        let news = report.last_news.entry(notice.order_id).or_insert(notice.kind);
        *news = notice.kind.max(*news);
        report.messages += 1;
    }
    Ok(report)
}

/// Why inboxes are not sound.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file was not opened.
    Open(OpenError),
    /// The file could not be read.
    Read(Fault),
    /// A message is missing before this one.
    Gap {
        /// Whose.
        user_id: UserId,
        /// This one.
        number: u64,
    },
    /// A message is in another place than its contents and its mark say.
    Misplaced {
        /// Whose.
        user_id: UserId,
        /// This one.
        number: u64,
    },
}

impl From<Fault> for VerifyError {
    fn from(fault: Fault) -> VerifyError {
        VerifyError::Read(fault)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Open(_) => f.write_str("the inboxes were not opened"),
            VerifyError::Read(_) => f.write_str("the inboxes could not be read"),
            VerifyError::Gap { user_id, number } => {
                write!(f, "before message {number} of user {user_id} one is missing")
            }
            VerifyError::Misplaced { user_id, number } => {
                write!(f, "message {number} of user {user_id} is not where it belongs")
            }
        }
    }
}

impl Error for VerifyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            VerifyError::Open(error) => Some(error),
            VerifyError::Read(fault) => Some(fault),
            VerifyError::Gap { .. } | VerifyError::Misplaced { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use redb::{Database, backends::InMemoryBackend};
    use shop_billing::Timestamp;

    use super::*;
    use crate::{
        Notice,
        inbox::{create_tables, tell},
    };

    /// What `verify` says of two messages of user 1, after `damage` to their tables.
    fn verified(damage: impl FnOnce(&redb::WriteTransaction)) -> Result<InboxReport, VerifyError> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        create_tables(&database).unwrap();
        let transaction = database.begin_write().unwrap();
        for kind in [Kind::Paid, Kind::Completed, Kind::Rejected] {
            let (user_id, order_id) = (UserId(1), OrderId(7));
            let notice = Notice { user_id, order_id, kind, text: String::new() };
            tell(&transaction, &notice, Timestamp(0), 10).unwrap();
        }
        damage(&transaction);
        transaction.commit().unwrap();
        verify(&database.begin_read().unwrap())
    }

    #[test]
    fn sound_inboxes_are_summed_up() {
        let report = verified(|_| {}).unwrap();
        assert_eq!((report.users, report.messages), (1, 3));
        assert_eq!(report.last_news, BTreeMap::from([(OrderId(7), Kind::Rejected)]));
    }

    #[test]
    fn every_broken_rule_is_named() {
        let gap = verified(|transaction| {
            drop(transaction.open_table(MESSAGES).unwrap().remove((1, 2)).unwrap());
        });
        assert!(matches!(gap, Err(VerifyError::Gap { number: 3, .. })), "{gap:?}");
        let misplaced = verified(|transaction| {
            transaction.open_table(TOLD).unwrap().insert((7, 2), (1, 2)).unwrap();
        });
        assert!(
            matches!(misplaced, Err(VerifyError::Misplaced { number: 1, .. })),
            "{misplaced:?}"
        );
        let corrupt = verified(|transaction| {
            transaction.open_table(MESSAGES).unwrap().insert((1, 2), &[][..]).unwrap();
        });
        assert_eq!(corrupt.unwrap_err().to_string(), "the inboxes could not be read");
    }
}
