//! The bare proxy as the benchmarks see it: a process beside the node.

use std::net::SocketAddr;

use anyhow::Result;
use toolmesh_tests::child::{Kept, Start};
use toolmesh_tests::paths;
use toolmesh_tests::wait::SOON;

/// The yardstick in a process of its own.
pub struct Proxy {
    pub address: SocketAddr,
    pub pid: i32,
    _process: Kept,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts it in front of an API.
    ///
    /// # Errors
    /// When it does not get ready in time.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let folder = paths::scratch("toolmesh-bench-")?;
        let log = folder.path().join("proxy.log");
        let program = std::env::current_exe()?;
        let start = Start { name: "the bare proxy", program: &program, log: &log, clean: None, save: None };
        let mut process = Kept::start(&start, &["proxy", "--upstream", &upstream.to_string()], &[])?;
        let (address, pid) = process
            .until_printed("it was ready", SOON, |text| {
                let mut words = text.lines().find_map(|line| line.strip_prefix("ready "))?.split(' ');
                Some((words.next()?.parse().ok()?, words.next()?.trim().parse().ok()?))
            })
            .await?;
        Ok(Self { address, pid, _process: process, _folder: folder })
    }
}
