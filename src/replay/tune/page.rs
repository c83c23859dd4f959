//! What each choice would have done, as one HTML file: a table of limits and
//! holds for each window, and a plot of false fires against time to detect.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Choice, Score, Tuned};
use crate::model::Unit;
use crate::view::report::html::{document, escaped};
use crate::view::value;

const STYLE: &str = include_str!("page.css");

/// Longest text from outside on a line, in characters.
const TEXT: usize = 400;

/// The plot's size, and what its frame leaves free, in SVG units.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 44.0;

/// Everything that was found, as one HTML file that needs nothing else.
#[must_use]
pub fn tuning_page(tuned: &Tuned) -> String {
    let title = format!("{}: {}", shown(&tuned.service), shown(&tuned.trigger));
    let mut body = format!(
        "<h1>{title}</h1>\n<p>{} ticks from {} to {}. The policy has <code>{}</code>.</p>\n",
        value::count(tuned.ticks as f64),
        tuned.from,
        tuned.to,
        shown(&tuned.choices[tuned.own].when)
    );
    for warning in &tuned.warnings {
        let _ = writeln!(body, "<p class=\"hint\">{}</p>", shown(warning));
    }
    paste(&mut body, tuned);
    if tuned.incidents.is_some() {
        plot(&mut body, tuned);
    }
    grids(&mut body, tuned);
    if tuned.incidents.is_some() {
        unbeaten(&mut body, tuned);
    }
    incidents(&mut body, tuned);
    releases(&mut body, tuned);
    document(&title, STYLE, &body)
}

fn shown(text: &str) -> String {
    escaped(&value::one_line(text, TEXT))
}

fn span(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds.round()).unwrap_or_default();
    value::span(seconds)
}

fn paste(body: &mut String, tuned: &Tuned) {
    let text = match (&tuned.paste, &tuned.incidents) {
        (Some(_), _) if tuned.suggested == Some(tuned.own) => {
            "<p>No choice is better than the policy's own: it can stay.</p>\n".to_owned()
        }
        (Some(line), _) => format!(
            "<p>Of the choices that no other beats this has the best balance of precision and \
             recall:</p>\n<pre>[triggers.{}]\n{}</pre>\n",
            shown(&tuned.trigger),
            shown(line)
        ),
        (None, Some(_)) => "<p>No choice caught a labelled incident.</p>\n".to_owned(),
        (None, None) => {
            "<p>Without labelled incidents nobody can say which of these fires were right.</p>\n"
                .to_owned()
        }
    };
    body.push_str(&text);
}

/// A table of limits and holds for each window.
fn grids(body: &mut String, tuned: &Tuned) {
    let most = tuned
        .choices
        .iter()
        .map(|c| c.fired)
        .max()
        .unwrap_or(0)
        .max(1);
    let says = if tuned.incidents.is_some() {
        "How many incidents each choice caught, and how many false fires it had. Framed: no \
         other choice beats it. Underlined: the policy's own."
    } else {
        "How often each choice would have fired. Underlined: the policy's own."
    };
    let _ = writeln!(body, "<h2>Every choice</h2>\n<p>{says}</p>");
    for (w, window) in tuned.windows.iter().enumerate() {
        if tuned.windows.len() > 1 {
            let _ = writeln!(body, "<h3>Over {}</h3>", shown(window));
        }
        body.push_str("<div class=\"wide\"><table class=\"choices\">\n<thead><tr><th>limit</th>");
        for hold in &tuned.holds {
            let _ = write!(body, "<th scope=\"col\">{}</th>", shown(hold));
        }
        body.push_str("</tr></thead>\n<tbody>\n");
        for (l, limit) in tuned.limits.iter().enumerate() {
            let _ = write!(body, "<tr><th scope=\"row\">{}</th>", shown(limit));
            for h in 0..tuned.holds.len() {
                if let Some((index, choice)) = tuned.at((w, l, h)) {
                    cell(body, choice, index == tuned.own, most);
                }
            }
            body.push_str("</tr>\n");
        }
        body.push_str("</tbody></table></div>\n");
    }
}

fn cell(body: &mut String, choice: &Choice, own: bool, most: usize) {
    let unbeaten = choice.score.as_ref().is_some_and(|score| score.unbeaten);
    let (good, class, text) = match &choice.score {
        Some(score) => (
            score.balance(),
            "",
            format!("{} + {}", score.caught, score.false_fires),
        ),
        None => (
            choice.fired as f64 / most as f64,
            " fires",
            choice.fired.to_string(),
        ),
    };
    let _ = write!(
        body,
        "<td class=\"choice{class}{}{}\" style=\"--good:{good:.2}\" title=\"{}\">{text}</td>",
        if unbeaten { " unbeaten" } else { "" },
        if own { " own" } else { "" },
        shown(&said(choice))
    );
}

/// A choice in one line.
fn said(choice: &Choice) -> String {
    let mut text = format!(
        "{}: fired {}",
        choice.when,
        value::times(choice.fired as u64)
    );
    if let Some(score) = &choice.score {
        let _ = write!(
            text,
            ", caught {} of {}, {} false",
            score.caught,
            score.caught + score.missed,
            score.false_fires
        );
        if let Some(detect) = score.detect_seconds {
            let _ = write!(text, ", after {}", span(detect));
        }
    }
    text
}

/// False fires a month to the right, time to detect upwards.
fn plot(body: &mut String, tuned: &Tuned) {
    let points = || {
        tuned.choices.iter().enumerate().filter_map(|(i, choice)| {
            let score = choice.score.as_ref()?;
            Some((i, choice, score, score.detect_seconds?))
        })
    };
    let most = |of: fn(&Score, f64) -> f64| {
        points()
            .map(|(_, _, score, detect)| of(score, detect))
            .fold(0.0, f64::max)
            .max(1e-9)
    };
    let (right, high) = (
        most(|score, _| score.false_fires_a_month),
        most(|_, detect| detect),
    );
    let x = |score: &Score| LEFT + score.false_fires_a_month / right * (WIDTH - LEFT - RIGHT);
    let y = |detect: f64| HEIGHT - BOTTOM - detect / high * (HEIGHT - TOP - BOTTOM);
    let bottom = HEIGHT - BOTTOM;
    let _ = write!(
        body,
        "<figure>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"choices\">\n\
         <title id=\"choices\">False fires a month and time to detect of each choice</title>\n\
         <rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>\n\
         <text x=\"{LEFT}\" y=\"{:.1}\">0</text>\n\
         <text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{} false fires a month</text>\n\
         <text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
        WIDTH - LEFT - RIGHT,
        bottom - TOP,
        bottom + 16.0,
        WIDTH - RIGHT,
        bottom + 16.0,
        value::number(right, Unit::Plain),
        LEFT - 6.0,
        TOP + 10.0,
        span(high),
    );
    let mut front: Vec<(f64, f64)> = Vec::new();
    for (i, choice, score, detect) in points() {
        let (x, y) = (x(score), y(detect));
        if score.unbeaten {
            front.push((x, y));
        }
        let _ = writeln!(
            body,
            "<circle class=\"choice{}{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{}\"><title>{}</title></circle>",
            if score.unbeaten { " unbeaten" } else { "" },
            if i == tuned.own { " own" } else { "" },
            if score.missed == 0 { 5 } else { 3 },
            shown(&said(choice)),
        );
    }
    front.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let front: Vec<String> = front
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let _ = writeln!(
        body,
        "<polyline class=\"front\" points=\"{}\"/>\n</svg>\n<figcaption>False fires a month to the \
         right, time to detect upwards; small points missed an incident, green ones no other \
         choice beats.</figcaption>\n</figure>",
        front.join(" ")
    );
}

fn unbeaten(body: &mut String, tuned: &Tuned) {
    body.push_str(
        "<h2>Choices that no other beats</h2>\n<div class=\"wide\"><table>\n<thead><tr>\
         <th scope=\"col\">condition</th><th scope=\"col\">caught</th><th scope=\"col\">false fires</th>\
         <th scope=\"col\">a month</th><th scope=\"col\">false rollbacks a month</th><th scope=\"col\">precision</th>\
         <th scope=\"col\">recall</th><th scope=\"col\">to detect</th>\
         <th scope=\"col\">time saved</th></tr></thead>\n<tbody>\n",
    );
    for choice in &tuned.choices {
        let Some(score) = choice.score.as_ref().filter(|score| score.unbeaten) else {
            continue;
        };
        let share = |x: f64| value::number(x, Unit::Ratio);
        let a_month = |n: f64| value::number(n, Unit::Plain);
        let _ = writeln!(
            body,
            "<tr><td><code>{}</code></td><td>{} of {}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            shown(&choice.when),
            score.caught,
            score.caught + score.missed,
            score.false_fires,
            a_month(score.false_fires_a_month),
            score
                .false_rollbacks_a_month
                .map_or_else(|| "–".to_owned(), a_month),
            score.precision.map_or_else(String::new, share),
            share(score.recall),
            score.detect_seconds.map_or_else(String::new, span),
            span(score.saved_seconds),
        );
    }
    body.push_str("</tbody></table></div>\n");
}

fn incidents(body: &mut String, tuned: &Tuned) {
    let Some(incidents) = &tuned.incidents else {
        return;
    };
    body.push_str("<h2>Labelled incidents</h2>\n<ul>\n");
    for incident in incidents {
        let name = shown(&incident.name);
        let gap = if name.is_empty() { "" } else { ": " };
        let _ = writeln!(
            body,
            "<li>{} to {}{gap}{name}</li>",
            incident.from, incident.to
        );
    }
    body.push_str("</ul>\n");
}

fn releases(body: &mut String, tuned: &Tuned) {
    if tuned.releases.is_empty() {
        return;
    }
    let is_suggested = tuned.suggested.is_some_and(|best| best != tuned.own);
    let suggested = if is_suggested {
        "<th scope=\"col\">the suggested one fired</th>"
    } else {
        ""
    };
    let _ = writeln!(
        body,
        "<h2>Releases</h2>\n<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">release</th>\
         <th scope=\"col\">from</th><th scope=\"col\">to</th>\
         <th scope=\"col\">the policy's own fired</th>{suggested}\
         <th scope=\"col\">choices that fired</th></tr></thead>\n<tbody>"
    );
    let fired = |after: Option<f64>| {
        after.map_or_else(|| "no".to_owned(), |s| format!("after {}", span(s)))
    };
    for ran in &tuned.releases {
        let _ = write!(
            body,
            "<tr><td>{}</td><td class=\"at\">{}</td><td class=\"at\">{}</td><td>{}</td>",
            shown(&ran.version),
            ran.from,
            ran.to,
            fired(ran.own_fired_after_seconds),
        );
        if is_suggested {
            let _ = write!(
                body,
                "<td>{}</td>",
                fired(ran.suggested_fired_after_seconds)
            );
        }
        let _ = writeln!(
            body,
            "<td>{} of {}</td></tr>",
            ran.choices_that_fired,
            tuned.choices.len(),
        );
    }
    body.push_str("</tbody></table></div>\n");
}
