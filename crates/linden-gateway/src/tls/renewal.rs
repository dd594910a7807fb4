//! Renewed certificates without anybody's call: a process that looks at the files from time to time.
//!
//! Certificates are renewed by another program, which replaces the files (or the link that leads to them) when it likes. What
//! counts is what is in them: times of files do not tell two that were written in the same moment.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use linden::{Cx, Reason};

use super::{Tls, TlsConfig};

/// What tells one content of the files from another: the hash of each, `None` when it cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stamps(Vec<Option<u64>>);

impl Stamps {
    pub(super) fn read(config: &TlsConfig) -> Self {
        let files = config.certificates.iter();
        Self(files.flat_map(|files| [&files.cert, &files.key]).map(|path| stamp(path)).collect())
    }
}

fn stamp(path: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    std::fs::read(path).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}

/// The future of the process.
pub(crate) async fn renew(cx: Cx<()>, tls: Tls) -> Reason {
    cx.set_label("certificates");
    match look(tls).await {}
}

async fn look(tls: Tls) -> Infallible {
    loop {
        tokio::time::sleep(tls.share.config.reload_every).await;
        let looked_at = tls.clone();
        // Files may be slow. A look that panicked is as one that did not come: the next one is soon.
        let _ = tokio::task::spawn_blocking(move || looked_at.reload_when_changed()).await;
    }
}

impl Tls {
    /// Certificates that do not do are warned of once: what is half written now is looked at again when it is whole.
    fn reload_when_changed(&self) {
        if Stamps::read(&self.share.config) == *self.share.stamps.lock() {
            return;
        }
        if let Err(error) = self.reload() {
            tracing::warn!(
                target: "linden::gateway",
                %error,
                "the certificates have changed and do not do; the old ones are served on"
            );
        }
    }
}
