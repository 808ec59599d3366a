//! Facts about this build, from `build.rs`.

/// Version of the program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Branch it was built from; empty outside a checkout.
pub(crate) const BRANCH: &str = env!("HINOMI_BRANCH");
/// Commit it was built from; empty outside a checkout.
pub(crate) const REVISION: &str = env!("HINOMI_REVISION");
/// Day of that commit, `20260604-00:58:54`.
pub(crate) const DATE: &str = env!("HINOMI_DATE");
/// The compiler.
pub(crate) const COMPILER: &str = env!("HINOMI_COMPILER");
