//! Compressed responses: tower-http's layer, made of configuration.

use serde::Deserialize;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, NotForContentType, Predicate, SizeAbove};

/// Responses in zstd or gzip for clients that accept them. In `linden.toml` a table of these keys: `compression = {}`.
///
/// Not compressed are small bodies, images, gRPC, event streams, and what is encoded already. Leave compression off for
/// routes whose responses hold a secret beside what others can make the client send (the attack called BREACH).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionConfig {
    /// Bodies of fewer bytes are left as they are, if their length is known. Default 1,024.
    pub bytes_min: u64,
}

impl Default for CompressionConfig {
    fn default() -> Self {
        Self { bytes_min: 1024 }
    }
}

/// What is compressed.
pub type Compressible =
    And<And<And<SizeAbove, NotForContentType>, NotForContentType>, NotForContentType>;

impl CompressionConfig {
    /// The layer.
    #[must_use]
    pub fn layer(&self) -> CompressionLayer<Compressible> {
        let compressible = SizeAbove::new(self.bytes_min)
            .and(NotForContentType::GRPC)
            .and(NotForContentType::IMAGES)
            .and(NotForContentType::SSE);
        // The connection's process pays for it while others wait for their turn.
        CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(compressible)
    }
}
