//! Linden's server of `http`: the router in a gateway with the limits that users have who set none, on a node as in the
//! other scenarios.

use std::net::SocketAddr;

use linden::Supervisor;
use linden_gateway::{CertificateFiles, Gateway, Tls, TlsConfig};

use super::{drive, start};
use crate::hello::{self, Certificate};
use crate::load::Load;
use crate::measure::Params;
use crate::outcome::{Metric, Unsupported};
use crate::scenario::{Cover, Variant};

/// Serves while the load asks.
pub(super) fn serve(variant: Variant, params: Params) -> Result<Vec<Metric>, Unsupported> {
    let (connections, cover) = variant.connections().ok_or_else(Unsupported::takes_no_part)?;
    let certificate = Certificate::issue().expect("a certificate can be made");
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut gateway = Gateway::builder(addr, hello::router());
    if cover == Cover::Tls {
        let files = CertificateFiles { cert: certificate.cert(), key: certificate.key() };
        let tls = Tls::load(TlsConfig::new([files]));
        gateway = gateway.tls(tls.expect("the certificate was just made"));
    }
    let gateway = gateway.bind().expect("there is a free port");
    let node = start(params.workers);
    let supervisor = Supervisor::one_for_one().child(gateway.child());
    let started = drive(&node, async move { supervisor.start().await });
    started.expect("the gateway starts");
    let load = Load::of(gateway.local_addr(), connections, cover, &certificate, params);
    Ok(load.bear_apart().expect("the load is borne"))
}
