//! One child process: started in a process group of its own, so that Ctrl-C in the terminal reaches this program alone and
//! children are stopped in order; watched; stopped within a deadline; and stopped by a guard if this program is killed.
//!
//! The guard is a shell that reads from a pipe whose other end this program holds. When this program dies, even by SIGKILL,
//! the pipe closes, the read fails, and the guard ends the child. (The kernel's own parent-death signal needs unsafe code
//! between fork and exec, and macOS lacks it.)

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Waits for the pipe to end, then asks the process to stop, then insists. `$1` pid, `$2` signal.
const GUARD_SCRIPT: &str = r#"
read -r _ && exit 0
kill -s "$2" "$1" 2>/dev/null
tries=0
while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.2; tries=$((tries + 1)); done
kill -s KILL "$1" 2>/dev/null
"#;

/// A running child. Dropping it asks it to stop and does not wait; [`Process::stop`] waits.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    gentle: Signal,
    stdout: Option<ChildStdout>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It ended by itself or when asked.
    InTime,
    /// It had to be killed.
    Killed,
}

impl Process {
    /// Starts a command. `name` is for the thread that waits for it, `gentle` is what the program takes as a request to stop
    /// in an orderly way.
    ///
    /// # Errors
    /// When the program, its guard or the thread cannot be started; nothing is left running then.
    pub fn spawn(name: &str, command: &mut Command, gentle: Signal) -> io::Result<Self> {
        let mut child = command.process_group(0).spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let stdout = child.stdout.take();
        let (sender, exit) = watch::channel(None);
        let watcher = Guard::spawn(pid, gentle).and_then(|guard| {
            let name = format!("wait-{name}");
            std::thread::Builder::new().name(name).spawn(move || watch_child(child, guard, &sender))
        });
        if let Err(error) = watcher {
            // Best effort: the cause is reported either way.
            let _ = kill(pid, Signal::SIGKILL);
            return Err(error);
        }
        Ok(Self { pid, gentle, stdout, exit })
    }

    /// The operating system's number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// What the process writes, if its command asked for a pipe.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits until it ends. `None` when nobody can tell any more how.
    pub async fn exited(&self) -> Option<ExitStatus> {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await;
        status.ok().and_then(|status| *status)
    }

    /// Asks it to stop and waits; kills it when `patience` is over or `now` is cancelled.
    pub async fn stop(&self, patience: Duration, now: &CancellationToken) -> Stopped {
        self.signal(self.gentle);
        tokio::select! {
            _ = self.exited() => return Stopped::InTime,
            () = tokio::time::sleep(patience) => {}
            () = now.cancelled() => {}
        }
        self.signal(Signal::SIGKILL);
        self.exited().await;
        Stopped::Killed
    }

    fn signal(&self, signal: Signal) {
        if self.status().is_none() {
            // The only failure left is that it ended this instant.
            let _ = kill(self.pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(self.gentle);
    }
}

fn watch_child(mut child: Child, guard: Guard, exit: &watch::Sender<Option<ExitStatus>>) {
    let status = child.wait().ok();
    guard.dismiss();
    exit.send_replace(status);
}

/// The shell that outlives this program by a moment.
struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    fn spawn(pid: Pid, gentle: Signal) -> io::Result<Self> {
        let signal = gentle.as_str().trim_start_matches("SIG");
        let mut shell = Command::new("/bin/sh")
            .args(["-c", GUARD_SCRIPT, "toolmesh-guard"])
            .args([&pid.to_string(), signal])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// The child is gone: the guard must not signal a number that may soon be another process's.
    fn dismiss(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // When the guard is gone already, there is nothing to dismiss.
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.shell.wait();
    }
}

/// Whether a process with this number exists.
#[must_use]
pub fn is_alive(pid: i32) -> bool {
    pid > 0 && !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH))
}

/// The command line of a process, its arguments separated by spaces; `None` when there is no such process.
#[must_use]
pub fn command_line(pid: i32) -> Option<String> {
    if cfg!(target_os = "linux") {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
        return Some(text.trim_end().to_owned()).filter(|text| !text.is_empty());
    }
    let output = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// Stops a process that is not our child: one left over from a start that was killed. `false` when it is still there.
pub async fn stop_stranger(pid: i32, signal: Signal, patience: Duration) -> bool {
    let gone = async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // A process that cannot be signalled shows itself by staying.
    let _ = kill(Pid::from_raw(pid), signal);
    if tokio::time::timeout(patience, gone).await.is_ok() {
        return true;
    }
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    tokio::time::sleep(Duration::from_millis(200)).await;
    !is_alive(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    #[tokio::test]
    async fn a_process_that_ends_by_itself_is_noticed() {
        let process = Process::spawn("test", &mut shell("exit 7"), Signal::SIGTERM).unwrap();
        assert_eq!(process.exited().await.unwrap().code(), Some(7));
        assert_eq!(process.stop(Duration::from_secs(5), &CancellationToken::new()).await, Stopped::InTime);
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_request_is_killed_after_the_deadline() {
        let mut command = shell("trap '' TERM; echo up; while :; do sleep 1; done");
        let mut process = Process::spawn("test", command.stdout(Stdio::piped()), Signal::SIGTERM).unwrap();
        let mut byte = [0];
        io::Read::read_exact(&mut process.take_stdout().unwrap(), &mut byte).unwrap();
        assert_eq!(
            process.stop(Duration::from_millis(200), &CancellationToken::new()).await,
            Stopped::Killed
        );
    }

    #[tokio::test]
    async fn when_this_program_is_killed_the_guard_stops_the_child() {
        let mut child = shell("exec sleep 600").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let mut guard = Guard::spawn(pid, Signal::SIGTERM).unwrap();
        // As when this program ends: the pipe closes without a word.
        drop(guard.pipe.take());
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(15));
        guard.shell.wait().unwrap();
    }

    #[test]
    fn a_command_line_tells_whose_process_it_is() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(is_alive(own));
        assert!(command_line(own).unwrap().contains("toolmesh"));
        assert_eq!(command_line(-1), None);
    }
}
