//! `backstop schema`: the policy language for editors.

use super::{Done, Error, out};
use crate::policy::SCHEMA;

pub(super) fn run() -> Result<Done, Error> {
    out::say(SCHEMA)?;
    Ok(Done::Well)
}
