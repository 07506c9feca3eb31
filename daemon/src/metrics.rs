//! The page of metrics: OpenMetrics for those who ask for it, else the older text format of Prometheus.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::registry::Registry;

/// Answers a scrape, in the format that its `Accept` header asks for.
pub fn page(registry: &Registry, headers: &HeaderMap) -> Response {
    let mut text = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, registry) {
        let text = format!("metrics cannot be written: {error}\n");
        return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
    }
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (kind, text) = if accept.contains("application/openmetrics-text") {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", plain(&text))
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// The older text format (0.0.4): a family has the name that its samples have, which for counters ends
/// in `_total` and for an info in `_info`; there are no units; an info is a gauge, unknown is untyped.
pub fn plain(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len() + 2048);
    // Of the family that is being written.
    let mut help = None;
    for line in openmetrics.lines() {
        let mut words = line.strip_prefix("# ").unwrap_or_default().splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(_), Some(what)) => help = Some(what),
            (Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    _ => ("", kind),
                };
                if let Some(what) = help.take() {
                    text += &format!("# HELP {name}{suffix} {what}\n");
                }
                text += &format!("# TYPE {name}{suffix} {kind}\n");
            }
            (Some("UNIT" | "EOF"), ..) => {}
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_families_as_their_samples() {
        let text = "# HELP a_b Some.\n# TYPE a_b counter\na_b_total{x=\"1\"} 2\n# HELP c_seconds Time.\n\
                    # TYPE c_seconds gauge\n# UNIT c_seconds seconds\nc_seconds 1.5\n# HELP d What runs.\n\
                    # TYPE d info\nd_info{version=\"# HELP\"} 1\n# HELP e Any.\n# TYPE e unknown\ne 1\n# EOF\n";
        assert_eq!(
            plain(text),
            "# HELP a_b_total Some.\n# TYPE a_b_total counter\na_b_total{x=\"1\"} 2\n# HELP c_seconds Time.\n\
             # TYPE c_seconds gauge\nc_seconds 1.5\n# HELP d_info What runs.\n# TYPE d_info gauge\n\
             d_info{version=\"# HELP\"} 1\n# HELP e Any.\n# TYPE e untyped\ne 1\n"
        );
    }
}
