//! The systems under test, each in a file of its own, and the one door to those that run in this
//! OS process.
//!
//! A Rust system is a function that does a scenario and returns its figures. OTP is a command that
//! prints them (see `child`). A system's failure is a panic: it ends the child, and the parent
//! reports it; `Unsupported` is only for what a system does not offer.

pub(crate) mod actix;
pub(crate) mod axum;
pub(crate) mod kameo;
pub(crate) mod linden;
pub(crate) mod otp;
pub(crate) mod ractor;
mod runtimes;
pub(crate) mod tokio;

use crate::measure::Params;
use crate::outcome::{Metric, Unsupported};
use crate::scenario::{Scenario, System, Variant};

/// Does one scenario in this OS process.
pub(crate) fn run(
    system: System,
    scenario: Scenario,
    variant: Variant,
    params: Params,
) -> Result<Vec<Metric>, Unsupported> {
    match system {
        System::Linden => linden::run(scenario, variant, params),
        System::Tokio => tokio::run(scenario, variant, params),
        System::Ractor => ractor::run(scenario, variant, params),
        System::Kameo => kameo::run(scenario, variant, params),
        System::Actix => actix::run(scenario, variant, params),
        System::Axum => axum::run(scenario, variant, params),
        System::Otp => Err(Unsupported("runs in an OS process of its own, not in this one".into())),
    }
}
