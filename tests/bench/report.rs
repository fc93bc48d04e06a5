//! What a person or a program reads at the end.

use serde::Serialize;

use crate::load::Measured;

/// One thing under one load.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub requests_per_second: f64,
    pub p50_micros: f64,
    pub p99_micros: f64,
    /// Requests that reached the API for each call; not known of an endpoint elsewhere.
    pub upstream_requests_per_call: Option<f64>,
    /// Resident memory after the load, in bytes.
    pub memory_bytes: Option<u64>,
}

/// A node beside the bare proxy: more is more of it.
#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    pub requests_per_second: f64,
    pub p50: f64,
    pub p99: f64,
}

/// One number of connections.
#[derive(Debug, Clone, Serialize)]
pub struct Load {
    pub connections: usize,
    /// The node, or the endpoint that was named.
    pub endpoint: Row,
    pub proxy: Option<Row>,
    /// Endpoint over proxy.
    pub ratio: Option<Ratio>,
}

/// All rows.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub endpoint: String,
    pub seconds: u64,
    pub loads: Vec<Load>,
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    pub fn of(measured: &Measured, upstream_requests: Option<u64>, memory_bytes: Option<u64>) -> Self {
        let micros = |percent| measured.latencies.percentile(percent).as_secs_f64() * 1e6;
        let calls = measured.calls.max(1) as f64;
        Self {
            requests_per_second: measured.latencies.total() as f64 / measured.elapsed.as_secs_f64(),
            p50_micros: micros(50.0),
            p99_micros: micros(99.0),
            upstream_requests_per_call: upstream_requests.map(|requests| requests as f64 / calls),
            memory_bytes,
        }
    }
}

impl Load {
    #[must_use]
    pub fn new(connections: usize, endpoint: Row, proxy: Option<Row>) -> Self {
        let over = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let ratio = proxy.as_ref().map(|proxy| Ratio {
            requests_per_second: over(endpoint.requests_per_second, proxy.requests_per_second),
            p50: over(endpoint.p50_micros, proxy.p50_micros),
            p99: over(endpoint.p99_micros, proxy.p99_micros),
        });
        Self { connections, endpoint, proxy, ratio }
    }
}

impl Report {
    /// A table of fixed width.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = format!(
            "{:>11}  {:<10} {:>10} {:>10} {:>10} {:>14} {:>12}\n",
            "connections", "", "req/s", "p50", "p99", "upstream/call", "memory"
        );
        for load in &self.loads {
            out.push_str(&line(&load.connections.to_string(), &self.endpoint, &load.endpoint));
            if let Some(proxy) = &load.proxy {
                out.push_str(&line("", "bare proxy", proxy));
            }
            if let Some(ratio) = &load.ratio {
                out.push_str(&format!(
                    "{:>11}  {:<10} {:>10} {:>10} {:>10}\n",
                    "",
                    "ratio",
                    format!("{:.2} x", ratio.requests_per_second),
                    format!("{:.2} x", ratio.p50),
                    format!("{:.2} x", ratio.p99)
                ));
            }
        }
        out
    }
}

pub fn line(connections: &str, name: &str, row: &Row) -> String {
    #[expect(clippy::cast_precision_loss, reason = "megabytes are shown with one digit")]
    let memory = row.memory_bytes.map(|bytes| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)));
    let upstream = row.upstream_requests_per_call.map(|each| format!("{each:.3}"));
    format!(
        "{connections:>11}  {name:<10} {:>10.0} {:>10} {:>10} {:>14} {:>12}\n",
        row.requests_per_second,
        latency(row.p50_micros),
        latency(row.p99_micros),
        upstream.as_deref().unwrap_or("-"),
        memory.as_deref().unwrap_or("-"),
    )
}

/// A time in the unit that it is read in.
pub fn latency(micros: f64) -> String {
    if micros < 1000.0 { format!("{micros:.0} us") } else { format!("{:.2} ms", micros / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_json_hold_the_same_rows() {
        let row = |rate| Row {
            requests_per_second: rate,
            p50_micros: 120.0,
            p99_micros: 2500.0,
            upstream_requests_per_call: Some(1.0),
            memory_bytes: Some(20 << 20),
        };
        let loads = vec![Load::new(16, row(5000.0), Some(row(10_000.0)))];
        let report = Report { endpoint: "node".into(), seconds: 5, loads };
        let table = report.table();
        for wanted in ["16", "5000", "120 us", "2.50 ms", "1.000", "20.0 MiB", "0.50 x"] {
            assert!(table.contains(wanted), "{wanted}: {table}");
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["loads"][0]["ratio"]["requests_per_second"], 0.5);
    }
}
