//! Steps of a plan, as they are really run.

mod http;
mod run;
