#!/bin/bash
# The real agent under its real unit: installed as the README says, started, reloaded, stopped dead, killed, stopped.
# Runs as a unit in the box of box.sh: /units is systemd/, /policies a directory of them, /usr/bin/backstop the agent.
set -euo pipefail

said() { systemctl show backstop --property "$1" --value; }
status() { backstop status --format json; }
since() { grep -m1 '"since": "' <<< "$(status)" | cut -d'"' -f4; }

law() { echo "- $*"; }
fail() {
    echo "FAILED: $*"
    systemctl status backstop --no-pager --lines 0 || true
    journalctl --unit backstop --no-pager --output cat | tail -n 80
    exit 1
}

# until_ SECONDS COMMAND...: it holds within that time.
until_() {
    local limit=$1 began=$SECONDS; shift
    until "$@"; do
        ((SECONDS - began <= limit)) || fail "not within $limit s: $*"
        sleep 0.1
    done
}
is() { [[ $("${@:2}" 2> /dev/null) == "$1" ]]; }                # is VALUE COMMAND...
shows() { grep -q -- "$1" <<< "$("${@:2}" 2>&1)"; }   # shows TEXT COMMAND...
restarted() { [[ $(said NRestarts) -ge $1 && $(said SubState) == running ]]; }
suspects() { shows '"state": "suspecting"' status; }

# ---- as the README has it ----------------------------------------------------------------------------------------
install -Dm644 /units/backstop.service --target-directory /etc/systemd/system
install -Dm644 /units/backstop-rollback@.service --target-directory /etc/systemd/system
install -Dm644 /units/50-backstop.rules --target-directory /etc/polkit-1/rules.d
install -Dm644 /units/backstop.sysusers /usr/lib/sysusers.d/backstop.conf
install -Dm644 /units/backstop.tmpfiles /usr/lib/tmpfiles.d/backstop.conf
systemd-sysusers
systemd-tmpfiles --create backstop.conf
install -m644 /policies/web.toml --target-directory /etc/backstop/policies
# A watchdog that bites within the test's patience; everything else is what is shipped.
mkdir -p /etc/systemd/system/backstop.service.d
printf '[Service]\nWatchdogSec=2\n' > /etc/systemd/system/backstop.service.d/watchdog.conf
systemctl daemon-reload

law "starts: ready when it guards, and says what it sees"
systemctl start backstop
is active systemctl is-active backstop || fail "not active"
is backstop stat -c %U "/proc/$(said MainPID)" || fail "not its own user"
until_ 15 suspects
until_ 5 shows 'suspecting' said StatusText
is 660:backstop:backstop stat -c %a:%U:%G /run/backstop/control.sock || fail "the socket is not 0660 of backstop"
[[ $(said NRestarts) == 0 ]] || fail "restarted at the start"
systemctl enable --quiet backstop
since=$(since)
[[ -n $since ]] || fail "no since"

law "is fed: more than a period of the watchdog without a restart"
sleep 3
[[ $(said NRestarts) == 0 ]] || fail "the watchdog bit a healthy agent"

law "reloads; a broken policy keeps the one that ran, and the reload fails aloud"
pid=$(said MainPID)
cp /etc/backstop/policies/web.toml /root/web.toml
sed -i 's/10m/20m/' /etc/backstop/policies/web.toml
systemctl reload backstop
until_ 5 shows '"hold_ms": 1200000' status
cp /root/web.toml /etc/backstop/policies/web.toml
echo 'intervall = "1s"' | cat - /root/web.toml > /etc/backstop/policies/web.toml
if systemctl reload backstop 2> /dev/null; then fail "a reload of a broken policy went well"; fi
until_ 5 shows 'did you mean' status
until_ 5 suspects
shows '"hold_ms": 1200000' status || fail "the policy that ran does not run any more"
is active systemctl is-active backstop || fail "the broken policy ended the agent"
is active systemctl is-active backstop || fail "the failed reload ended the agent"
cp /root/web.toml /etc/backstop/policies/web.toml
systemctl kill --signal HUP --kill-whom main backstop
until_ 5 shows '"hold_ms": 600000' status
until_ 5 shows '"refused": \[\]' status
is active systemctl is-active backstop || fail "SIGHUP ended the agent"
[[ $(said MainPID) == "$pid" ]] || fail "a reload was a restart"
until_ 5 suspects
since=$(since)

law "stopped dead, the watchdog has it restarted, and the hold goes on"
kill -STOP "$pid"
until_ 15 restarted 1
[[ $(said MainPID) != "$pid" ]] || fail "the stopped process is still the agent"
until_ 10 suspects
is "$since" since || fail "the hold began anew: $since, then $(since)"

law "killed, it comes back, and the hold goes on"
systemctl kill --signal KILL --kill-whom main backstop
until_ 15 restarted 2
until_ 10 suspects
is "$since" since || fail "the hold began anew: $since, then $(since)"

law "killed again and again, it is never given up"
for n in {3..9}; do
    systemctl kill --signal KILL --kill-whom main backstop
    until_ 15 restarted "$n"
done
until_ 10 suspects

law "a second agent on the state directory is refused, and told who holds it"
as_backstop() { setpriv --reuid backstop --regid backstop --init-groups "$@"; }
second() {
    as_backstop backstop --socket /tmp/second.sock run --http off \
        --policies /etc/backstop/policies --state /var/lib/backstop
}
if second > /tmp/second 2>&1; then fail "two agents on one state directory"; fi
shows "pid $(said MainPID)" cat /tmp/second || { cat /tmp/second; fail "the holder is not named"; }

law "whoever is not in the group does not reach the socket"
if setpriv --reuid nobody --regid nogroup --clear-groups backstop --socket /run/backstop/control.sock status \
    > /tmp/nobody 2>&1; then
    fail "nobody reads the socket"
fi

law "a plan's step starts the unit that root declared, from inside the sandbox, and no other"
printf '#!/bin/sh\nid -u > /run/rolled-back\n' > /etc/backstop/rollback.d/web
chmod 755 /etc/backstop/rollback.d/web
backstop rollback web --reason "the test says so" || fail "the order was refused"
until_ 20 test -s /run/rolled-back
is 0 cat /run/rolled-back || fail "root's program did not run as root"
until_ 30 shows 'cured\|not_cured' backstop incidents --format json
for order in "start box.service" "restart backstop-rollback@web.service" "start backstop-rollback@../web.service"; do
    # shellcheck disable=SC2086
    if as_backstop systemctl --no-ask-password $order > /dev/null 2>&1; then fail "the agent may $order"; fi
done

law "the sandbox holds: nothing is written but its own directories"
nsenter --mount --target "$(said MainPID)" sh -c '
    touch /var/lib/backstop/x && rm /var/lib/backstop/x && ! touch /etc/backstop/x && ! touch /usr/x && ! test -e /root/web.toml
' 2> /dev/null || fail "not even root could write there, but somebody did, or the state directory is shut too"

law "stops: soon, by itself, and goes on where it was"
began=$SECONDS
systemctl stop backstop
((SECONDS - began <= 5)) || fail "took $((SECONDS - began)) s to stop"
is success said Result || fail "stopped with $(said Result)"
[[ ! -e /run/backstop ]] || fail "left its runtime directory"
systemctl start backstop
until_ 10 shows '"service": "web"' status
systemctl stop backstop

law "journald has its lines as fields"
shows 'SERVICE=web\|"SERVICE"\|F_SERVICE' journalctl --unit backstop --output export --no-pager \
    || { journalctl --unit backstop --output export --no-pager | tail -n 40; fail "no field names the service"; }
echo "all well"
