#!/bin/bash
# Boots a real systemd in a throw-away nspawn container and runs TESTDIR/run.sh in it as a unit.
#
#   box.sh [options] TESTDIR
#     --cache DIR       where the root file system is kept (default: ${XDG_CACHE_HOME:-$HOME/.cache}/systemd-box)
#     --packages A,B    extra Debian packages in the root (its own cached root per list)
#     --out DIR         writable in the box as /out; gets output, status, journal, console (default: a temporary one)
#     --bind-ro SRC:DST, --bind SRC:DST   more mounts (DST is made in the box)
#     --setenv K=V      in run.sh's environment
#     --timeout S       hard limit for boot and run (default 180)
#     --build-only      only see to the root
#
# TESTDIR is /test in the box, read-only. run.sh's output goes to our stdout when it has ended.
# Exit status: run.sh's own (128+n if signal n ended it); 124 timed out; 125 the box itself failed.
#
# Nothing outlives a run: the box has its own mount, pid, net (lo only), ipc, uts and cgroup namespaces, every
# write goes to a tmpfs overlay, all its processes are in one cgroup that is killed and removed at the end, and
# SIGKILL of this script takes the box along: pdeathsig on unshare, which is the parent of the
# pid namespace's init. (nspawn's own SIGKILL would not do: the box's systemd outlives it.)
set -euo pipefail
die() { echo "systemd-box: $*" >&2; exit 125; }

# ---- inside the private mount namespace: lay the overlay, become nspawn -------------------------------------
if [[ ${1-} == --stage2 ]]; then
    shift
    work=$1 root=$2; shift 2
    mount -t tmpfs -o mode=755 box "$work"
    mkdir -p "$work"/{upper,work,merged}
    mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" box "$work/merged"
    cat > "$work/merged/etc/systemd/system/box.service" <<UNIT
[Unit]
Description=The box's test
After=multi-user.target
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=exec
ExecStart=/test/run.sh
EnvironmentFile=-/out/.env
WorkingDirectory=/
StandardOutput=append:/out/output
StandardError=inherit
RuntimeMaxSec=$BOX_SOFT
TimeoutStopSec=5
ExecStopPost=-/bin/sh -c 'journalctl --sync; journalctl -b --no-pager -o short-precise > /out/journal 2>&1'
ExecStopPost=/bin/sh -c 'echo "\$SERVICE_RESULT \$EXIT_CODE \$EXIT_STATUS" > /out/status'
UNIT
    mkdir -p "$work/merged/etc/systemd/system/multi-user.target.wants"
    # Ordering after its own wanter would be a cycle, so a target of the box's own pulls in both.
    cat > "$work/merged/etc/systemd/system/box.target" <<UNIT
[Unit]
Requires=multi-user.target
Wants=box.service
After=multi-user.target
AllowIsolate=yes
UNIT
    # nspawn's own runtime state on a tmpfs of ours: no litter and no locks on the host's /run.
    mkdir -p /run/systemd/nspawn
    mount -t tmpfs -o mode=755 box-run /run/systemd/nspawn
    # A pure cgroup2 tree, whatever the host has mounted: nspawn and the box then both choose "unified".
    mount -t cgroup2 box-cgroup /sys/fs/cgroup
    exec systemd-nspawn --quiet --directory="$work/merged" --machine="$BOX_NAME" --boot \
        --register=no --keep-unit --private-network --link-journal=no --resolv-conf=off --timezone=off \
        --console=pipe "$@" -- systemd.unit=box.target systemd.show_status=0
fi

# ---- options ------------------------------------------------------------------------------------------------
cache=${XDG_CACHE_HOME:-$HOME/.cache}/systemd-box packages= out= limit=180 build_only= args=() env=()
while [[ ${1-} == --* ]]; do
    case $1 in
        --build-only) build_only=1; shift; continue ;;
        --cache|--packages|--out|--timeout|--bind|--bind-ro|--setenv) [[ $# -ge 2 ]] || die "$1 needs a value" ;;
        *) die "unknown option $1" ;;
    esac
    case $1 in
        --cache) cache=$2 ;;
        --packages) packages=$2 ;;
        --out) out=$2 ;;
        --timeout) limit=$2 ;;
        --bind|--bind-ro) args+=("$1=$2") ;;
        --setenv) env+=("$2") ;;
    esac
    shift 2
done
[[ $EUID == 0 ]] || die "needs root"
if [[ -z $build_only ]]; then
    [[ $# == 1 && -x ${1-}/run.sh ]] || die "no executable run.sh in '${1-}'"
    testdir=$(realpath "$1")
fi

# ---- the root: built once per package list, moved into place whole ------------------------------------------
if ! command -v systemd-nspawn >/dev/null || ! command -v mmdebstrap >/dev/null; then
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        systemd-container mmdebstrap; } >&2 || die "no systemd-nspawn or mmdebstrap, and apt-get cannot get them"
fi
codename=$(. /etc/os-release; echo "${VERSION_CODENAME:?}")
list=$(tr "," "\n" <<<"systemd,systemd-sysv,dbus${packages:+,$packages}" | sort -u | paste -sd,)
key=$(sha256sum <<<"3 $codename $(dpkg --print-architecture) $list" | cut -c1-12)
mkdir -p "$cache"; cache=$(realpath "$cache")
root=$cache/root-$codename-$key
exec 9>"$cache/lock"; flock 9
if [[ ! -d $root ]]; then
    rm -rf --one-file-system "$cache"/building.*                  # a build that was cut off; we hold the lock
    new=$(mktemp -d "$cache/building.XXXXXX"); chmod 755 "$new"
    # The host's own sources and transport options (proxy, validity), so it works wherever apt-get does.
    sources() { apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' \
        | sort -u | grep -E " $codename(-updates|-security)? "; }
    sources > "$new.list" || { apt-get update >&2; sources > "$new.list"; } || die "apt knows no sources for $codename"
    apt-config dump --format '%F "%v";%n' Acquire | grep -v '^Acquire::IndexTargets' > "$new.conf"
    # In namespaces of its own: its mounts cannot leak into ours (the rm -rf above!), and it dies with this script.
    setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child=KILL --mount-proc \
        mmdebstrap --quiet --variant=essential --include="$list" --aptopt="$new.conf" "$codename" "$new" "$new.list" 9>&- \
        > "$cache/build.log" 2>&1 || { tail -n 20 "$cache/build.log" >&2; rm -rf "$new"{,.list,.conf}; die "mmdebstrap failed"; }
    rm -f "$new".{list,conf}
    : > "$new/etc/machine-id"                   # a fresh one each boot
    echo box > "$new/etc/hostname"
    systemctl --quiet --root="$new" mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
        e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-timesyncd.service console-getty.service getty.target
    mv "$new" "$root"
fi
flock -u 9; exec 9>&-
[[ -z $build_only ]] || { echo "$root"; exit 0; }

# ---- a cgroup of our own, the box in it, the limit -----------------------------------------------------------
BOX_NAME=box-$$ BOX_SOFT=$(( limit > 25 ? limit - 15 : limit )); export BOX_NAME BOX_SOFT
work=$(mktemp -d /tmp/systemd-box.XXXXXX)
if [[ -n $out ]]; then mkdir -p "$out"; out=$(realpath "$out"); else out=$(mktemp -d /tmp/systemd-box-out.XXXXXX); rm_out=1; fi
rm -f "$out"/{output,status,journal,console,.env}; : > "$out/output"
((${#env[@]} == 0)) || printf '%s\n' "${env[@]}" > "$out/.env"

hier=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
[[ -n $hier ]] || die "no cgroup2 mounted"
cg=$hier$(sed -n 's/^0:://p' /proc/self/cgroup); cg=${cg%/}/$BOX_NAME
for old in "${cg%-*}"-[0-9]*; do                # left by one that was SIGKILLed: empty by then, rmdir refuses others
    [[ ! -d $old ]] || kill -0 "${old##*-}" 2>/dev/null || find "$old" -depth -type d -exec rmdir {} + 2>/dev/null || :
done
mkdir "$cg"
cleanup() {
    trap - EXIT INT TERM
    [[ -z ${box-} ]] || disown "$box" 2>/dev/null || :    # no "Killed" from bash
    if [[ -d $cg ]]; then
        echo 1 > "$cg/cgroup.kill" 2>/dev/null || :
        for _ in {1..100}; do grep -q 'populated 0' "$cg/cgroup.events" && break; sleep .05; done
        find "$cg" -depth -type d -exec rmdir {} + 2>/dev/null || :
    fi
    rmdir "$work" 2>/dev/null || :
    [[ -z ${rm_out-} ]] || rm -rf "$out"
}
trap cleanup EXIT; trap 'exit 130' INT; trap 'exit 143' TERM

self=$(realpath "$0")
setpriv --pdeathsig KILL bash -c 'echo $$ > "$1/cgroup.procs"; shift; exec unshare --mount --propagation private \
    --pid --fork --kill-child=KILL --mount-proc "$@"' \
    box "$cg" bash "$self" --stage2 "$work" "$root" \
    --bind-ro="$testdir:/test" --bind="$out:/out" "${args[@]}" </dev/null >"$out/console" 2>&1 &
box=$!
rc=
for ((i = 0; i < limit * 20; i++)); do
    kill -0 $box 2>/dev/null || { wait $box && rc=0 || rc=$?; break; }
    sleep .05
done

cat "$out/output"
if [[ -s $out/status ]]; then
    read -r result code status < "$out/status"
    case $result/$code in
        timeout/*) echo "systemd-box: run.sh was over the limit of $limit s" >&2; exit 124 ;;
        */exited) exit "$status" ;;
        */killed|*/dumped) echo "systemd-box: run.sh ended by SIG$status" >&2; exit $((128 + $(kill -l "$status"))) ;;
    esac
fi
tail -n 30 "$out/console" >&2
[[ -n $rc ]] || { echo "systemd-box: over the limit of $limit s" >&2; exit 124; }
die "the box ended (nspawn: $rc) before run.sh did"
