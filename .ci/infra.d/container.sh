# shellcheck shell=bash disable=SC2154
# The container image, built and run; and the compose file.

part_container() {
    step "Dockerfile (hadolint)" hadolint "$tree/Dockerfile"
    step "compose file" check-jsonschema --builtin-schema vendor.compose-spec "$tree/compose.yaml"
    wanted "image holds what it should" "image runs, not as root" "image is promoted by its digest" || return 0
    need "the static binary" static_binary || return 0
    need "container tools" "$repository/scripts/debian-packages" buildah crun skopeo docker-registry || return 0
    mkdir -p "$work/containers" "$work/run" "$work/image-tree/target/dist"
    cp -r "$tree/scripts" "$tree/Dockerfile" "$work/image-tree"
    cp "$repository/target/dist/rowmill" "$work/image-tree/target/dist"
    export BUILDAH_FLAGS="--storage-driver vfs --root $work/containers --runroot $work/run"
    need "image builds" builds_image || return 0
    step "image holds what it should" holds_what_it_should
    step "image runs, not as root" runs_image
    step "image is promoted by its digest" promotes_image
    export work
    as_builder forget_containers
}

builds_image() {
    (cd "$work/image-tree" && scripts/build-image rowmill:check) && [[ $(image '{{.OCIv1.Config.Entrypoint}}') == '[/usr/local/bin/rowmill]' ]]
}

# image FORMAT: what the image says of itself.
image() {
    # shellcheck disable=SC2086 # flags are words
    buildah $BUILDAH_FLAGS inspect --type image --format "$1" rowmill:check
}

holds_what_it_should() {
    local user health labels
    user=$(image '{{.OCIv1.Config.User}}') health=$(image '{{.Docker.Config.Healthcheck.Test}}')
    labels=$(image '{{index .OCIv1.Config.Labels "org.opencontainers.image.version"}}')
    echo "user $user, health $health, version $labels"
    [[ $user =~ ^[1-9][0-9]*:[1-9][0-9]*$ && $health == *rowmill* && $labels == [0-9]* ]]
}

runs_image() {
    local container user status=0
    # shellcheck disable=SC2086
    container=$(buildah $BUILDAH_FLAGS from --pull-never rowmill:check) || return 1
    printf '#!/bin/sh\nexec buildah %s run --isolation chroot %s -- /usr/local/bin/rowmill "$@"\n' "$BUILDAH_FLAGS" "$container" >"$work/in-container"
    chmod +x "$work/in-container"
    "$tree/scripts/smoke-test" "$work/in-container" || status=1
    user=$(as_builder owner_of "$container")
    # shellcheck disable=SC2086
    buildah $BUILDAH_FLAGS rm "$container" >/dev/null
    echo "written by user $user"
    ((status == 0 && user != 0))
}

# What root builds, root may look at; what others build is in a user namespace of theirs.
as_builder() {
    if ((EUID == 0)); then "$@"; else buildah unshare bash -c "$(declare -f "$1"); $*"; fi
}

owner_of() {
    # shellcheck disable=SC2086
    stat --format %u "$(buildah $BUILDAH_FLAGS mount "$1")/data/smoke"
}

forget_containers() { rm -rf "$work/containers"; }

# From one name of a registry on this machine to another.
promotes_image() {
    local port registry digest promoted
    port=$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    registry=127.0.0.1:$port
    printf 'version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: %s\n' "$work/registry" "$registry" >"$work/registry.yml"
    export SKOPEO_FLAGS=--tls-verify=false
    docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
    echo $! >"$work/registry.pid"
    wait_for 100 listens "$port" || return 1
    # shellcheck disable=SC2086
    buildah $BUILDAH_FLAGS tag rowmill:check "$registry/staging/rowmill:built" || return 1
    digest=$(BUILDAH_PUSH_FLAGS="--quiet --tls-verify=false" "$tree/scripts/push-image" "$registry/staging/rowmill:built") || return 1
    digest=${digest#digest=}
    promoted=$("$tree/scripts/promote-image" "docker://$registry/staging/rowmill@$digest" "docker://$registry/production/rowmill") || return 1
    # An index of images for several machines is promoted with all that it names.
    # shellcheck disable=SC2086
    buildah $BUILDAH_FLAGS manifest create check:index rowmill:check &&
        buildah $BUILDAH_FLAGS manifest push --all --tls-verify=false --digestfile "$work/index" check:index "docker://$registry/staging/rowmill:index" &&
        "$tree/scripts/promote-image" "docker://$registry/staging/rowmill@$(cat "$work/index")" "docker://$registry/production/rowmill" || return 1
    stop "$(cat "$work/registry.pid")"
    rm "$work/registry.pid"
    echo "$promoted"
    [[ $promoted == "$registry/production/rowmill@$digest" ]]
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
