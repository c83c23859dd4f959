//! Programs and an HTTP interface that take what the real ones document and
//! refuse all else, and write down each call.

#![allow(dead_code, reason = "each test takes the part that it needs")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What each program takes, as patterns of sh(1) for name and arguments: the
/// forms of its manual that the shipped policies use. Anything else ends with 64.
const TAKEN: &[&str] = &[
    // learn.microsoft.com/cli/azure
    "'az acr repository show --name '*' --image '*",
    "'az webapp deployment slot swap --resource-group '*' --name '*' --slot '*' --target-slot '*",
    "'az webapp config container set --resource-group '*' --name '*' --container-image-name '*",
    "'az webapp restart --resource-group '*' --name '*",
    "'az webapp stop --resource-group '*' --name '*",
    "'az webapp start --resource-group '*' --name '*",
    "'az deployment group what-if --resource-group '*' --template-file '*",
    "'az deployment group create --resource-group '*' --name '*' --template-file '*' --mode Incremental'",
    "'az redis force-reboot --resource-group '*' --name '*' --reboot-type AllNodes'",
    // azure.github.io/static-web-apps-cli
    "'swa deploy '*' --env production'",
    // alembic.sqlalchemy.org
    "'alembic --config '*' downgrade -1'",
    // postgresql.org/docs
    "'pg_dump --format=custom --'*'--dbname=service='*",
    "'pg_restore --clean --if-exists --single-transaction --dbname=service='*",
    "'psql --no-psqlrc --'*",
    // redis.io/docs
    "'redis-cli -h '*' -p 6380 --tls FLUSHALL'",
    // git-scm.com/docs
    "'git -C '*' checkout --detach '*",
    // fly.io/docs/flyctl
    "'flyctl releases --app '*' --image'",
    "'flyctl machine '*'cordon '*' --app '*",
    "'flyctl deploy --app '*' --image '*' --strategy immediate'",
    "'flyctl deploy --app '*' --config '*' --image '*",
    "'flyctl status --app '*",
    "'flyctl logs --app '*' --no-tail'",
    // docs.docker.com/reference/cli
    "'docker manifest inspect '*",
    // docs.aws.amazon.com/cli
    "'aws ecs update-service --cluster '*' --service '*' --task-definition '*' --force-new-deployment'",
    "'aws ecs wait services-stable --cluster '*' --services '*",
    // developer.hashicorp.com/terraform/cli
    "'terraform -chdir='*' init -input=false'",
    "'terraform -chdir='*' plan -input=false -lock-timeout=60s -out='*",
    "'terraform -chdir='*' apply -input=false -lock-timeout=60s '*",
    // cli.github.com/manual
    "'gh run list --repo '*' --workflow '*' --limit 5'",
    "'gh variable set '*' --body '*' --repo '*",
    "'gh workflow run '*' --repo '*' --ref main'",
    // systemctl(1)
    "'systemctl '*'.service'",
    "'test -'?' '*",
    // The teams' own.
    "'automated-rollback.sh '*",
    "'audit '",
];

/// Fakes in a directory, and what was called.
pub(crate) struct Programs {
    dir: TempDir,
}

impl Programs {
    /// `twists` come before what is taken: a pattern of a whole call, and what is
    /// done then, as lines of sh(1); `$nth` says how often it was called so.
    pub(crate) fn new(twists: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        let twists: String = twists
            .iter()
            .map(|(call, does)| {
                format!("'{call}'*)\n  nth=$(grep -c -F -e '{call}' \"$dir/calls\")\n  {does} ;;\n")
            })
            .collect();
        let taken = TAKEN.join(") ;;\n");
        let script = format!(
            "#!/bin/sh\nme=${{0##*/}}; dir=${{0%/*}}\necho \"$me $*\" >> \"$dir/calls\"\n\
             case \"$me $*\" in\n{twists}'lost'*) echo 3 ;;\n{taken}) ;;\n\
             *) echo \"$me: no such command: $*\" >&2; exit 64 ;;\nesac\n"
        );
        fs::write(dir.path().join("fake"), script).unwrap();
        let program = dir.path().join("fake");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The fake of a program that is meant by its name or its path.
    pub(crate) fn of(&self, program: &str) -> PathBuf {
        let name = program.rsplit('/').next().unwrap();
        let fake = self.path().join(name);
        if !fake.exists() {
            fs::hard_link(self.path().join("fake"), &fake).unwrap();
        }
        fake
    }

    /// Every call, in order, arguments and all.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// An HTTP interface that gives its answers one after the other, the last one for
/// ever. An empty one is never given: it is slow.
pub(crate) struct Interface {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Interface {
    pub(crate) async fn saying(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
        tokio::spawn(async move {
            let mut nth = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut read = Vec::new();
                let mut chunk = [0; 4096];
                while !is_whole(&read) {
                    match stream.read(&mut chunk).await {
                        Ok(n @ 1..) => read.extend_from_slice(&chunk[..n]),
                        _ => break,
                    }
                }
                kept.lock().unwrap().push(String::from_utf8(read).unwrap());
                let answer = &answers[nth.min(answers.len() - 1)];
                nth += 1;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                let (head, body) = answer.split_once("\n\n").unwrap_or((answer, ""));
                let head = head.replace('\n', "\r\n");
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        Self { address, asked }
    }

    /// Every request, as it came.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The head, and as much body as it announces.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}
