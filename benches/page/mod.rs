//! A page as a web service with many routes exposes it: about 133 bytes a line,
//! counters, a histogram and gauges, in the order of a registry that sorts.

use std::fmt::Write as _;

/// A page of `series` series: half of them histogram buckets, a fifth gauges,
/// the rest counters.
pub(crate) fn page(series: usize) -> String {
    let mut out = String::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let labels = |i: usize| {
        let (method, zone) = (["GET", "POST", "DELETE"][i % 3], ["a", "b"][i % 2]);
        format!(
            "method=\"{method}\",route=\"/api/v1/items/{i:06}/parts\",service=\"checkout\",zone=\"eu-west-1{zone}\""
        )
    };
    out.push_str("# HELP http_request_duration_seconds How long requests took.\n");
    out.push_str("# TYPE http_request_duration_seconds histogram\n");
    let bounds = ["0.005", "0.05", "0.25", "1", "+Inf"];
    for i in 0..series / 2 {
        let (of, le) = (labels(i / 5), bounds[i % 5]);
        let count = random(1_000_000);
        let _ = writeln!(
            out,
            "http_request_duration_seconds_bucket{{{of},le=\"{le}\"}} {count}"
        );
    }
    out.push_str("# HELP http_requests_total Requests that were answered.\n");
    out.push_str("# TYPE http_requests_total counter\n");
    for i in 0..series * 3 / 10 - 20 {
        let code = [200, 201, 404, 500][i % 4];
        let (of, count) = (labels(i / 4), random(10_000_000));
        let _ = writeln!(out, "http_requests_total{{{of},code=\"{code}\"}} {count}");
    }
    out.push_str("# TYPE payments_total counter\n");
    for i in 0..20 {
        let count = random(100_000);
        let _ = writeln!(
            out,
            "payments_total{{{},outcome=\"failed\"}} {count}",
            labels(i)
        );
    }
    out.push_str("# TYPE queue_depth_ratio gauge\n");
    for i in 0..series - series / 2 - series * 3 / 10 {
        let value = random(1_000_000) as f64 / 1e6;
        let _ = writeln!(
            out,
            "queue_depth_ratio{{{},queue=\"outbound\"}} {value}",
            labels(i)
        );
    }
    out
}
