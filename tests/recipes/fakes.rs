//! The programs that the shipped recipes run, faked: each takes what the real one
//! documents, refuses the rest, and writes down what it was asked.

#![allow(dead_code, reason = "each test takes the part that it needs")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What each program takes, as patterns of the shell; anything else is exit
/// code 64.
const FAKES: &[(&str, &str)] = &[
    (
        "docker",
        "'manifest inspect ghcr.io/example/shop:v1') ;; \
         'compose --project-directory /srv/shop --env-file /srv/shop/current.env up --detach --wait')",
    ),
    (
        "kubectl",
        "'--namespace shop rollout undo deployment/shop') ;; \
         '--namespace shop rollout status deployment/shop --timeout=5m') ;; \
         'argo rollouts abort shop --namespace shop') ;; \
         'argo rollouts undo shop --namespace shop') ;; \
         'argo rollouts status shop --namespace shop --timeout 5m')",
    ),
    (
        "helm",
        "'rollback shop --namespace shop --wait --cleanup-on-fail --timeout 5m0s') ;; \
         'status shop --namespace shop')",
    ),
    ("nomad", "'job revert shop v1')"),
    (
        "flyctl",
        "'deploy --app shop --image registry.fly.io/shop:v1 --strategy immediate') ;; \
         'status --app shop')",
    ),
    (
        "az",
        "'webapp deployment slot swap --resource-group shop --name shop --slot staging --target-slot production')",
    ),
    (
        "aws",
        "'ecs describe-task-definition --task-definition shop:v1') ;; \
         'ecs update-service --cluster production --service shop --task-definition shop:v1 --force-new-deployment') ;; \
         'ecs wait services-stable --cluster production --services shop')",
    ),
    ("test", "'-d /srv/shop/releases/v1')"),
    ("nginx", "'-t -q')"),
];

/// Answers as systemd does, of units that are all well.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "systemctl $*" >> "${0%/*}/calls"
case "$1" in
show)
    echo LoadState=loaded; echo ActiveState=active; echo SubState=running; echo Result=success
    echo CanStart=yes; echo CanStop=yes; echo CanReload=yes ;;
esac
"#;

/// Writes the fakes into a directory, beside which they keep `calls`. What they
/// are asked of `/srv` lies below `srv`.
pub(crate) fn write(dir: &Path, srv: &str) {
    for (name, cases) in FAKES {
        let cases = cases.replace("/srv/", &format!("{srv}/"));
        let script = format!(
            "#!/bin/sh\necho \"{name} $*\" >> \"${{0%/*}}/calls\"\n\
             case \"$*\" in\n{cases} ;;\n\
             *) echo \"{name}: $*: no such command\" >&2; exit 64 ;;\nesac\n"
        );
        program(&dir.join(name), &script);
    }
    program(&dir.join("systemctl"), SYSTEMCTL);
}

fn program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What was asked of the fakes, in order.
pub(crate) fn calls(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
