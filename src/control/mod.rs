//! The API of a running agent, on its socket and over HTTP.
//!
//! [`Agent`] is all that this room knows of the agent: a way to ask for its
//! state, to hand it facts, and to have it read its policies again. [`Api`]
//! serves that under `/api/v1`: whole on the socket, whose kernel says who
//! calls; over TCP, where anybody may call, only what reads ([`Api::reading`]).
//! [`Client`] is the other end of the socket.
//!
//! | route | answers |
//! |---|---|
//! | `GET status` | [`Status`](crate::view::Status) of every service |
//! | `GET services/NAME` | the same of one |
//! | `GET shadow`, `services/NAME/shadow` | [`LedgerView`](crate::view::ledger::LedgerView) of every service, or a list of the one |
//! | `GET incidents` | a list of [`IncidentLine`](crate::view::incidents::IncidentLine), the newest first: those at hand; `?service=NAME`, and with `?before=N`, `?within=7d` a page of all that the journal has |
//! | `GET incidents/N` | [`IncidentView`](crate::view::incidents::IncidentView) |
//! | `GET incidents/N/report` | the report, in Markdown |
//! | `GET incidents/N/report/html` | the same as one HTML file |
//! | `POST incidents/N/approve`, `reject`, `ack`, `abort` | takes [`Answer`] |
//! | `POST services/NAME/rollback` | takes [`Rollback`] |
//! | `POST services/NAME/drill` | takes [`Drill`], answers a [`DrillReport`](crate::view::DrillReport), or followed, [`DrillLine`]s; executed, as an order |
//! | `POST services/NAME/freeze` | takes [`Freeze`] |
//! | `POST services/NAME/unfreeze` | takes [`Unfreeze`] |
//! | `POST services/NAME/deploy` | takes [`Deploy`] |
//! | `POST services/NAME/release` | takes [`Declare`] |
//! | `POST services/NAME/push` | takes [`Push`] |
//! | `POST services/NAME/sources/SOURCE` | what a source is told: [`Push`], or Alertmanager's webhook; over TCP too, with a token |
//! | `POST reload` | [`Reloaded`] |
//!
//! Over TCP alone there is `answer/…` beside them, outside of `/api/v1`: the page
//! behind a link of a notice, for people ([`Links`]).
//!
//! Orders are answered with [`Taken`]: 200 when they were followed, 409 when the
//! agent refused, with its reason. What never reached the agent is a
//! [`Problem`].

mod answer;
mod client;
mod door;
mod drill;
mod intake;
mod line;
mod links;
mod orders;
mod peer;
mod protocol;
mod readings;
mod request;
mod server;
mod tokens;
mod webhook;

pub use client::{Client, ClientError};
pub use door::{Door, DoorError};
pub use drill::{DRILL_PATIENCE, Drill, DrillLine, MAX_DRILL, parse_drill};
pub use intake::MAX_INTAKE;
pub use line::Line;
pub use links::{KeyError, Links};
pub use peer::holders;
pub use protocol::{
    Answer, Declare, Deploy, Freeze, LONGEST_FREEZE, Loss, MAX_BODY, Malformed, Problem, Push,
    Rollback, Taken, Unfreeze, parse_answer, parse_declare, parse_deploy, parse_freeze,
    parse_lease, parse_loss, parse_number, parse_period, parse_push, parse_rollback, parse_said,
    parse_unfreeze,
};
pub use request::{
    Agent, Chronicle, Diagnosis, DrillOrder, Gone, NoDrill, Reloaded, Request, ScenarioText,
    Stepped, Wanted,
};
pub use server::Api;
pub use tokens::{Refusals, sha256};
pub use webhook::{MOST_ALERTS, Webhook, parse_webhook};
