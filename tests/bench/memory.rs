//! How much memory a process holds now.

use std::process::Command;

/// Resident memory in bytes; `None` where the system does not say.
#[must_use]
pub fn resident(pid: i32) -> Option<u64> {
    if let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) {
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        return line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024);
    }
    let ps = Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().ok()?;
    String::from_utf8_lossy(&ps.stdout).trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_holds_some_memory() {
        let own = super::resident(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!((1 << 20..1 << 34).contains(&own), "{own}");
    }
}
