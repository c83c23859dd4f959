//! Any bytes are an exposition or none, and how they are cut changes nothing.

use std::sync::LazyLock;

use backstop::model::{Gap, Sample, Selector};
use backstop::sense::exposition::{Dialect, Exposition, Framing, parse_line, series};

/// The first byte chooses format and cuts; the rest is the page.
pub fn run(data: &[u8]) {
    let Some((&choice, page)) = data.split_first() else {
        return;
    };
    let dialect = [Dialect::Text, Dialect::OpenMetrics][usize::from(choice & 1)];
    let cut = usize::from(choice >> 1).max(1);
    for line in page.split(|&b| b == b'\n') {
        let _ = parse_line(line, dialect);
        let _ = series(line);
    }
    for make in [Exposition::everything, selected] {
        let whole = read(&mut make(), dialect, page, page.len().max(1));
        let mut known = make();
        for _ in 0..3 {
            let again = read(&mut known, dialect, page, cut);
            assert_eq!(shown(&again), shown(&whole), "cut every {cut} bytes");
        }
    }
}

/// Compiling a regular expression costs more than reading a small page.
static SELECTORS: LazyLock<Vec<Selector>> = LazyLock::new(|| {
    ["a", "http_requests_total{code=~\"5..\"}", "{x!=\"\"}"]
        .iter()
        .filter_map(|text| Selector::parse(text).ok())
        .collect()
});

fn selected() -> Exposition {
    Exposition::new(SELECTORS.clone())
}

fn read(
    known: &mut Exposition,
    dialect: Dialect,
    page: &[u8],
    cut: usize,
) -> Result<Vec<Sample>, Gap> {
    let mut reading = known.page(dialect, 1 << 20);
    for chunk in page.chunks(cut) {
        reading.feed(chunk)?;
    }
    reading.finish(Framing::Announced)
}

/// NaN is not equal to itself, but its text is.
fn shown(read: &Result<Vec<Sample>, Gap>) -> String {
    format!("{read:?}")
}
