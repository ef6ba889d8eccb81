# shellcheck shell=bash disable=SC2154
# The machine: the roles, applied to a Debian that was booted for it, with the real binary on an embedded store.

# What is asked of the machine, in this order, and by which function.
machine_steps=()
declare -A machine_steps_do=()
of_machine() {
    machine_steps+=("machine: $1")
    machine_steps_do["machine: $1"]=$2
}
of_machine "systemd-analyze verify" verify_units
of_machine "systemd-analyze security at most 2.5" secure_units
of_machine "secrets are root's" secrets_are_roots
of_machine "the timer fires, files become facts and aggregates" units_work
of_machine "roles again change nothing" changes_nothing
of_machine "a failure is told" failure_is_told
of_machine "a binary of another checksum is refused" refuses_checksum
of_machine "upgrade" upgrades
of_machine "rollback" rolls_back

part_machine() {
    # shellcheck disable=SC2034
    local ansible=$work/ansible-tree/ansible name
    step "ansible-lint" in_tree ansible-lint --offline --project-dir ansible -c ansible/.ansible-lint ansible/site.yml ansible/rollback.yml ansible/roles
    wanted "${machine_steps[@]}" || return 0
    need "building blocks" test -d "$blocks/ansible" || return 0
    need "the static binary" static_binary || return 0
    need "machine tools" "$repository/scripts/debian-packages" systemd-container || return 0
    need "machine root" debian_root || return 0
    mkdir -p "$work/ansible-tree"
    cp -r "$tree/ansible" "$tree/examples" "$tree/scripts" "$work/ansible-tree"
    export ANSIBLE_CONNECTION_PLUGINS=$blocks/ansible/connection_plugins LC_ALL=C.UTF-8 ANSIBLE_NOCOLOR=1
    need "machine boots" boots || return 0
    BOOT_PID=$(pgrep -P "$(cat "$work/machine.pid")" | head -n 1)
    export BOOT_PID
    release "$repository/target/dist/rowmill" 0.1.0
    need "machine: roles apply" apply || return 0
    for name in "${machine_steps[@]}"; do
        step "$name" "${machine_steps_do[$name]}"
    done
    stop "$(cat "$work/machine.pid")"
    rm "$work/machine.pid"
}

boots() {
    sh "$blocks/ansible/boot.sh" "$tools/root" "$work/machine.pid"
}

inside() { nsenter -t "$BOOT_PID" -m -u -i -n -p -- "$@"; }

# release BINARY VERSION: what is deployed next.
release() {
    ROWMILL_BINARY=$1 ROWMILL_VERSION=$2
    ROWMILL_SHA256=$(sha256sum "$1" | cut -d ' ' -f 1)
    export ROWMILL_BINARY ROWMILL_VERSION ROWMILL_SHA256
}

apply() {
    (cd "$ansible" && ansible-playbook --inventory inventories/container.yml site.yml)
}

changes_nothing() {
    apply >"$work/applied" || { cat "$work/applied"; return 1; }
    grep -E '^(changed|TASK|booted)' "$work/applied" | grep -B 1 -E '^(changed|booted)'
    grep -q 'changed=0 .*failed=0' "$work/applied"
}

units() { inside sh -c 'cd /etc/systemd/system && ls rowmill-*.service rowmill-*.timer rowmill-*.path' | sed 's/@\./@example./'; }

# It exits with 0 on keys that it does not know, but says so.
verify_units() {
    readarray -t units < <(units)
    ((${#units[@]} >= 7)) && silent inside systemd-analyze verify --man=no --recursive-errors=yes "${units[@]}"
}

secure_units() {
    local unit
    for unit in $(units | grep '\.service$'); do
        inside systemd-analyze security --no-pager --threshold=25 "$unit" | tail -n 1
        [[ ${PIPESTATUS[0]} == 0 ]] || return 1
    done
}

secrets_are_roots() {
    local file
    for file in rowmill.env slack-webhook; do
        [[ $(inside stat --format '%a %U %G' "/etc/rowmill/$file") == "600 root root" ]] || { inside ls -la /etc/rowmill; return 1; }
    done
    [[ $(inside stat --format '%a %U' /etc/rowmill/rowmill.toml) == "640 root" ]]
}

# logged UNIT PATTERN: whether a unit has said something.
logged() { inside journalctl --quiet --no-pager --output cat --unit "rowmill-$1.service" | grep -q -E "$2"; }

land() { inside sh -c "/opt/rowmill/current/rowmill generate --events $2 --seed $2 --quiet --out /tmp/$1 && mv /tmp/$1 /var/lib/rowmill/landing/"; }

units_work() {
    land first.jsonl 2000 || return 1
    # The timer starts the one, a change of the folder the other.
    wait_for 150 logged ingest '"message":"ingested".*"written":[1-9]' || { inside journalctl --no-pager -u 'rowmill-*' | tail -n 30; return 1; }
    land second.jsonl 100 || return 1
    wait_for 150 logged aggregate '"message":"aggregated".*"events":[1-9]' || { inside journalctl --no-pager -u 'rowmill-*' | tail -n 30; return 1; }
    [[ $(inside systemctl is-active rowmill-ingest.timer) == active && -z $(inside systemctl --failed --no-legend) ]] || { inside systemctl --failed --no-pager; return 1; }
}

failure_is_told() {
    inside systemd-run --quiet --unit=webhook python3 -c 'import http.server
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        open("/tmp/told", "ab").write(self.rfile.read(int(self.headers["content-length"])) + b"\n")
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8099), Hook).serve_forever()' || return 1
    wait_for 50 inside sh -c 'grep -q :1FA3 /proc/net/tcp' || return 1
    ! inside systemctl start rowmill-broken.service || return 1
    wait_for 100 inside grep -q 'rowmill-broken.service failed' /tmp/told || { inside journalctl --no-pager -u 'rowmill-alert*' | tail; return 1; }
    inside journalctl --quiet --no-pager --output cat --unit 'rowmill-alert@*' | grep -q '"message":"unit failed","unit":"rowmill-broken.service"' || return 1
    inside systemctl reset-failed
}

current() { inside readlink /opt/rowmill/current; }

deploy() { "$work/ansible-tree/scripts/deploy-hosts" "$ansible/inventories/container.yml" "$@"; }

refuses_checksum() {
    local before
    before=$(current)
    ! deploy "$ROWMILL_BINARY" "$(printf '0%.0s' {1..64})" 0.2.0 && [[ $(current) == "$before" ]]
}

upgrades() {
    local before
    before=$(current)
    # Another release: what follows a program in its file is not part of it.
    cp "$ROWMILL_BINARY" "$work/newer" && echo newer >>"$work/newer" && release "$work/newer" 0.2.0 || return 1
    deploy "$ROWMILL_BINARY" "$ROWMILL_SHA256" "$ROWMILL_VERSION" || return 1
    [[ $(current) == /opt/rowmill/versions/0.2.0-* && $(inside readlink /opt/rowmill/previous) == "$before" ]] || return 1
    inside journalctl --quiet --no-pager --rotate --vacuum-time=1s
    land third.jsonl 200 && wait_for 150 logged ingest '"message":"ingested".*"written":[1-9]'
}

rolls_back() {
    (cd "$ansible" && ansible-playbook --inventory inventories/container.yml rollback.yml) || return 1
    [[ $(current) == /opt/rowmill/versions/0.1.0-* && $(inside readlink /opt/rowmill/previous) == /opt/rowmill/versions/0.2.0-* ]]
}
