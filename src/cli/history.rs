//! `backstop history`: what the agent took down, out of it and into it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::places::Places;
use super::range::Range;
use super::recorded::WHOSE;
use super::{Done, Error, Format, out};
use crate::history::{ExportError, Import, ImportError, Overview, export};
use crate::model::Moment;
use crate::replay::{Past, Span};
use crate::view::value;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    show: Show,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Export(Export),
    Import(Take),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The service; without one, all of them.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    place: Place,
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Where the past is.
#[derive(Debug, clap::Args)]
struct Place {
    /// The state directory.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// Write the recorded samples as OpenMetrics text with timestamps
///
/// What `promtool tsdb create-blocks-from openmetrics` and `backstop replay
/// --samples` read.
#[derive(Debug, clap::Args)]
struct Export {
    /// The service; may be left out where there is only one.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    #[command(flatten)]
    range: Range,
    /// Where to; without it, to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Take samples in from OpenMetrics text with timestamps
///
/// They are kept beside the agent's own record, for replays; no agent ever
/// reads them.
#[derive(Debug, clap::Args)]
struct Take {
    /// The text; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The service that it is of.
    #[arg(long, value_name = "NAME")]
    service: String,
    /// The source of series without a `backstop_source` label.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only from this time on.
    #[arg(long, value_name = "WHEN", value_parser = super::range::when)]
    from: Option<Moment>,
    /// Only up to this time.
    #[arg(long, value_name = "WHEN", value_parser = super::range::when)]
    to: Option<Moment>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> Result<Done, Error> {
    match &args.command {
        None => args.show.run(),
        Some(Command::Export(export)) => export.run(),
        Some(Command::Import(take)) => take.run(),
    }?;
    Ok(Done::Well)
}

impl Place {
    fn dir(&self) -> PathBuf {
        let named = self.state.clone();
        named.unwrap_or_else(|| Places::of_this_user().state)
    }

    fn past(&self) -> Result<Past, Error> {
        Past::open(&self.dir()).map_err(|e| Error::of(&e).hint(WHOSE))
    }
}

impl Show {
    fn run(&self) -> Result<(), Error> {
        let past = self.place.past()?;
        let span = self.range.of(&past)?;
        let service = self.service.as_deref();
        let overview = Overview::of(&past, service, span).map_err(|e| Error::of(&e))?;
        if let (Some(service), true) = (service, overview.services.is_empty()) {
            return Err(nothing_of(service, &past)?);
        }
        match self.format {
            Format::Json => out::say_json(&overview),
            Format::Text => out::say(&overview.text()),
        }
    }
}

impl Export {
    fn run(&self) -> Result<(), Error> {
        let past = self.place.past()?;
        let span = self.range.of(&past)?;
        let service = match &self.service {
            Some(service) => service.clone(),
            None => only(&past)?,
        };
        let written = match &self.output {
            None => export(
                &past,
                &service,
                span,
                &mut BufWriter::new(io::stdout().lock()),
            ),
            Some(path) => to_file(path, |out| export(&past, &service, span, out)),
        };
        let exported = match written {
            Ok(exported) => exported,
            // Its reader has seen enough.
            Err(ExportError::Write(e)) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(e @ ExportError::Empty { .. }) => {
                let mut others = services(&past)?;
                others.retain(|other| *other != service);
                let error = Error::of(&e);
                return Err(if others.is_empty() {
                    error
                } else {
                    error.hint(format!("there is {}", others.join(", ")))
                });
            }
            Err(e) => return Err(Error::of(&e)),
        };
        for remark in &exported.remarks {
            out::warn(remark);
        }
        if let Some(path) = &self.output {
            out::say(&format!(
                "{}: {} samples of {} series from {} to {}\n",
                path.display(),
                value::count(exported.samples as f64),
                exported.series,
                value::time(exported.span.from, 0),
                value::time(exported.span.to, 0)
            ))?;
        }
        Ok(())
    }
}

/// A file that has its name only when it is whole.
fn to_file<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T, ExportError>,
) -> Result<T, ExportError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    let written = (|| {
        let mut out = BufWriter::new(File::create(&aside)?);
        let written = write(&mut out)?;
        out.flush()?;
        std::fs::rename(&aside, path)?;
        Ok(written)
    })();
    if written.is_err() {
        // What failed is told.
        let _ = std::fs::remove_file(&aside);
    }
    written
}

impl Take {
    fn run(&self) -> Result<(), Error> {
        let span = Span {
            from: self.from.unwrap_or(Span::ALL.from),
            to: self.to.unwrap_or(Span::ALL.to),
        };
        let import = Import {
            service: &self.service,
            source: self.source.as_deref(),
            span,
        };
        let name = self.file.display();
        let text: Box<dyn BufRead> = if self.file.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            let file = File::open(&self.file)
                .map_err(|e| Error::failed(format!("cannot open {name}")).because_of(Some(&e)))?;
            Box::new(BufReader::with_capacity(1 << 16, file))
        };
        let imported = import.read(&self.place.dir(), text).map_err(|e| {
            let error = Error::of(&e);
            match &e {
                ImportError::Empty { faults } => error.hint(faults.join("\n")),
                ImportError::Overlaps { .. } => error.hint(
                    "--from and --to take a part of the recording; `backstop history` says what was imported, and where to remove it",
                ),
                ImportError::Owner { .. } => {
                    error.hint("run it as that user, so that its agent's tools can read it")
                }
                ImportError::Past(_) => error.hint(WHOSE),
                ImportError::Read(_) | ImportError::Write { .. } | ImportError::Journal { .. } => {
                    error
                }
            }
        })?;
        for remark in &imported.remarks {
            out::warn(&format!("{name}: {remark}"));
        }
        out::say(&format!(
            "{} samples of {} series of {} from {} to {}, in {}\n",
            value::count(imported.samples as f64),
            imported.series,
            self.service,
            value::time(imported.span.from, 0),
            value::time(imported.span.to, 0),
            imported.directory.display()
        ))
    }
}

/// The services that there is something of.
fn services(past: &Past) -> Result<Vec<String>, Error> {
    let overview = Overview::of(past, None, Span::ALL).map_err(|e| Error::of(&e))?;
    Ok(overview.services.into_iter().map(|s| s.service).collect())
}

fn only(past: &Past) -> Result<String, Error> {
    let mut services = services(past)?;
    match services.len() {
        0 => Err(Error::failed(format!(
            "the history in {} is empty",
            past.state().display()
        ))),
        1 => Ok(services.remove(0)),
        _ => Err(Error::usage("which service?").hint(format!("there is {}", services.join(", ")))),
    }
}

fn nothing_of(service: &str, past: &Past) -> Result<Error, Error> {
    let services = services(past)?;
    let error = Error::failed(format!("the history has nothing of {service}"));
    Ok(if services.is_empty() {
        error
    } else {
        error.hint(format!("there is {}", services.join(", ")))
    })
}
