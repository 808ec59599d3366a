//! Remote write load: series and values ([`series`]), requests built once and patched ([`template`]), the process that
//! sends them ([`send`]), and its parent's side ([`drive`]).

pub mod drive;
mod native;
pub mod send;
pub mod series;
mod snappy;
mod template;
