//! What lies on disk: two releases, the link to the one that runs, and the
//! policy.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::{fs, process};

use tokio::net::TcpSocket;

/// The service's name.
pub(super) const SERVICE: &str = "checkout";
/// The release that works.
pub(super) const GOOD: &str = "v1";
/// The release that does not.
pub(super) const BAD: &str = "v2";

/// The directory of a demo.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) dir: PathBuf,
    /// Where the service listens.
    pub(super) port: u16,
    /// Bound to the port, never listening: while the service restarts, the kernel
    /// would else give the port to any connection that begins.
    _held: TcpSocket,
}

impl Stage {
    /// Makes the releases and the policy.
    pub(super) fn set(dir: Option<PathBuf>, shadow: bool) -> io::Result<Self> {
        let dir = dir.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("backstop-demo-{}", process::id()))
        });
        let mut private = fs::DirBuilder::new();
        private.mode(0o700).recursive(true);
        private.create(&dir)?;
        let dir = dir.canonicalize()?;
        for (release, text) in [
            (GOOD, "version = \"v1\"\nfails_one_in = 0\n"),
            (
                BAD,
                "version = \"v2\"\n# The fault of this release: one checkout in eight fails.\nfails_one_in = 8\n",
            ),
        ] {
            let home = dir.join("releases").join(release);
            private.create(&home)?;
            fs::write(home.join("release.toml"), text)?;
        }
        for sub in ["policies", "state"] {
            private.create(dir.join(sub))?;
        }
        let held = TcpSocket::new_v4()?;
        // The service's listener says so too: then Linux lets it bind beside this.
        held.set_reuseaddr(true)?;
        held.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let stage = Self {
            port: held.local_addr()?.port(),
            dir,
            _held: held,
        };
        stage.point_at(GOOD)?;
        fs::write(
            stage.dir.join("policies/checkout.toml"),
            stage.policy(shadow)?,
        )?;
        Ok(stage)
    }

    /// Deploys: points the link at a release, atomically.
    pub(super) fn point_at(&self, release: &str) -> io::Result<()> {
        let new = self.dir.join("current.new");
        let _ = fs::remove_file(&new);
        symlink(self.dir.join("releases").join(release), &new)?;
        fs::rename(new, self.dir.join("current"))
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("control.sock")
    }

    pub(super) fn policy_file(&self) -> PathBuf {
        self.dir.join("policies/checkout.toml")
    }

    /// The release that the link points at.
    pub(super) fn current(&self) -> Option<String> {
        let target = fs::read_link(self.dir.join("current")).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    fn policy(&self, shadow: bool) -> io::Result<String> {
        let dir = quoted(&self.dir)?;
        let program = quoted(&std::env::current_exe()?)?;
        let port = self.port;
        let mode = if shadow { "shadow" } else { "enforce" };
        Ok(format!(
            r#"# The decision matrix of the demo, in seconds instead of minutes.
service  = "{SERVICE}"
mode     = "{mode}"
interval = "1s"

[sources.app]
type = "scrape"
url  = "http://127.0.0.1:{port}/metrics"

[sources.web]
type = "probe"
url  = "http://127.0.0.1:{port}/health"

[signals.error_rate]
source = "app"
ratio  = {{ of = 'http_requests_total{{code=~"5.."}}', to = 'http_requests_total' }}
window = "5s"

[triggers.high-error-rate]
when     = "error_rate > 5% for 15s"
severity = "critical"

[triggers.service-down]
when     = "web is down for 20s"
severity = "critical"

[release]
current    = {{ symlink = "{dir}/current" }}
good_after = "8s"

[plans.rollback]
cooldown = "10m"
verify   = {{ require = ["web is up", "error_rate < 5% for 5s"], within = "30s", watch = "1m" }}

[[plans.rollback.steps]]
name    = "point current at the previous release"
symlink = {{ link = "{dir}/current", to = "{dir}/releases/{{target}}" }}

[[plans.rollback.steps]]
name    = "restart the service"
run     = ["{program}", "demo-service", "restart", "--dir", "{dir}"]
timeout = "15s"
"#
        ))
    }
}

/// A path inside a TOML basic string.
fn quoted(path: &Path) -> io::Result<String> {
    let text = path
        .to_str()
        .filter(|t| !t.contains(['"', '\\', '{', '}']) && !t.chars().any(char::is_control));
    text.map(str::to_owned).ok_or_else(|| {
        io::Error::other(format!(
            "{} has characters that a policy cannot hold",
            path.display()
        ))
    })
}
