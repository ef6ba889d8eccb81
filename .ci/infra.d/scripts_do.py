"""scripts_do.py TREE: runs the scripts that workflows call, with doubles for the programs that talk to Google and GitHub.

A double notes what it was asked, one line a call, and does the little that is told here.
"""

import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile

TREE = pathlib.Path(sys.argv[1]).resolve()
DIGEST = "sha256:" + "0123456789abcdef" * 4


class Stage:
    """A folder with doubles, and what was asked of them."""

    def __init__(self, folder, **doubles):
        self.folder = pathlib.Path(folder)
        self.notes = self.folder / "notes"
        bin = self.folder / "bin"
        bin.mkdir()
        for name, does in doubles.items():
            program = bin / name.replace("_", "-")
            program.write_text(f'#!/bin/bash\necho "{program.name} $*" >>"{self.notes}"\n{does}\n')
            program.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{bin}:{os.environ['PATH']}"}

    def run(self, script, *arguments, expect=0, tree=TREE, **environment):
        ran = subprocess.run([tree / "scripts" / script, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True,
                             env={**self.environment, **environment})
        assert ran.returncode == expect, f"{script}: exit {ran.returncode}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def asked(self):
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def file(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def plans(folder):
    # `gh api` lists the comments of `comments`, one id a line.
    stage = Stage(folder, gcloud="", gh='[[ $2 == --paginate ]] && cat comments; for word in "$@"; do [[ $word == body=@* ]] && cp "${word#body=@}" body; done; true')
    plan = stage.file("a.plan", "plan")
    assert stage.run("sum-of", plan) == f"sha256={sha256('plan')}\n"
    where = {"GITHUB_RUN_ID": "7", "ENVIRONMENT": "dev"}
    stage.run("keep-plan", "put", plan, "plans", **where)
    stage.run("keep-plan", "get", plan, "plans", **where)
    stage.run("keep-plan", "lose", plan, "plans", expect=2, **where)
    assert stage.asked() == [f"gcloud storage cp --quiet {plan} gs://plans/7-dev.plan",
                             f"gcloud storage cp --quiet gs://plans/7-dev.plan {plan}"], stage.asked()
    text = stage.file("plan.txt", "Refreshing\nPlan: 3 to add, 0 to change, 0 to destroy.\n" + "\u00e4" * 70000)
    stage.file("comments", "")
    stage.run("comment-plan", "12", text, GITHUB_REPOSITORY="owner/name")
    body = (stage.folder / "body").read_text()
    assert "<summary>Plan: 3 to add" in body and len(body) < 65536, len(body)
    assert stage.asked()[-1].startswith("gh api --method POST repos/owner/name/issues/12/comments"), stage.asked()
    stage.file("comments", "41\n42\n")
    stage.run("comment-plan", "12", text, GITHUB_REPOSITORY="owner/name")
    assert stage.asked()[-1].startswith("gh api --method PATCH repos/owner/name/issues/comments/42"), stage.asked()


def releases(folder):
    # `gh release download` leaves what is in `offered`.
    stage = Stage(folder, gh='[[ $2 != download ]] || cp offered/* "$5"', ansible_playbook='echo "webhook $ROWMILL_SLACK_WEBHOOK" >>notes', pip="",
                  gcloud='[[ "$*" == *"versions list"* ]] && echo 1; [[ "$*" == *"versions access"* ]] && echo https://hooks.example/secret; true', ssh_keygen="touch $HOME/.ssh/rowmill.pub")
    stage.file("offered/rowmill-1.2.3-x86_64-linux", "binary")
    stage.file("offered/SHA256SUMS", f"{sha256('binary')}  rowmill-1.2.3-x86_64-linux\n")
    stage.run("fetch-release", "v1.2.3", "got")
    assert (stage.folder / "got/rowmill.sha256").read_text().startswith(sha256("binary"))
    assert os.access(stage.folder / "got/rowmill", os.X_OK), "what was downloaded can be run"
    tree = copy_of_tree(stage)
    stage.run("deploy-release", "staging", "v1.2.3", tree=tree, PROJECT_ID="p")
    played = next(call for call in stage.asked() if call.startswith("ansible-playbook"))
    assert "webhook https://hooks.example/secret" in (tree / "ansible/notes").read_text() and "hooks.example" not in played
    home = stage.file("home/.keep", "").parent
    stage.run("ssh-access", "p", HOME=str(home))
    assert stage.asked()[-1] == f"gcloud compute os-login ssh-keys add --project p --key-file {home}/.ssh/rowmill.pub --ttl 1h --quiet", stage.asked()
    assert "inventories/staging.yml site.yml" in played and f"pipeline_service_sha256={sha256('binary')} pipeline_service_version=1.2.3" in played, played
    stage.file("offered/rowmill-1.2.3-x86_64-linux", "another binary")
    stage.run("fetch-release", "v1.2.3", "again", expect=1)
    stage.run("publish-release", "v1.2.3", "offered")
    assert stage.asked()[-1].startswith("gh release create v1.2.3 --verify-tag"), stage.asked()
    stage.run("publish-release", "v1.2.4", "offered", expect=1)
    stage.run("roll-back-hosts", "production", tree=tree)
    assert stage.asked()[-1] == "ansible-playbook --inventory inventories/production.yml rollback.yml"
    stage.run("install-ansible")
    assert stage.asked()[-1].startswith("pip install --quiet ansible-core=="), stage.asked()
    stage.run("install-emulators")
    assert "gcloud components install --quiet beta bigtable cbt" in stage.asked()[-1]


def copy_of_tree(stage):
    # Where the script looks for the release, doubles find it: they run in its folder.
    tree = stage.folder / "tree"
    tree.mkdir()
    for name in ("scripts", "ansible"):
        subprocess.run(["cp", "-r", TREE / name, tree / name], check=True)
    subprocess.run(["cp", "-r", stage.folder / "offered", tree / "offered"], check=True)
    return tree


def images(folder):
    stage = Stage(folder, gcloud="[[ $1 != auth ]] || echo token; [[ $3 != describe ]] || echo registry/rowmill@" + DIGEST, skopeo="cat >password")
    stage.run("registry-login", "europe-west1")
    login = next(call for call in stage.asked() if call.startswith("skopeo"))
    assert login == "skopeo login --username oauth2accesstoken --password-stdin europe-west1-docker.pkg.dev", login
    assert (stage.folder / "password").read_text() == "token\n"
    assert stage.run("running-image", "p", "europe-west1", "rowmill-production-aggregate") == f"image=registry/rowmill@{DIGEST}\n"
    stage.run("set-image", "p", "europe-west1", "rowmill-production", "registry/rowmill:latest", expect=1)
    stage.run("set-image", "p", "europe-west1", "rowmill-production", f"registry/rowmill@{DIGEST}")
    updates = [call for call in stage.asked() if " update " in call]
    assert len(updates) == 3 and all(DIGEST in call for call in updates), updates
    stage.run("promote-image", "docker://registry/rowmill:latest", "docker://other/rowmill", expect=1)
    stage.run("run-job", "check-project", "europe-west1", "rowmill-dev-aggregate")
    assert "run jobs execute rowmill-dev-aggregate --project check-project --region europe-west1 --wait" in stage.asked()[-1]
    assert DIGEST in stage.run("say-digest", DIGEST, GITHUB_STEP_SUMMARY="/dev/stdout")
    failing = stage.folder / "bin/gcloud"
    failing.write_text("#!/bin/sh\necho 'Cannot find job [x]' >&2\nexit 1\n")
    assert stage.run("running-image", "p", "r", "j") == "image=\n"
    failing.write_text("#!/bin/sh\necho 'permission denied' >&2\nexit 1\n")
    stage.run("running-image", "p", "r", "j", expect=1)
    tree = stage.folder / "tree"
    for environment, digest in (("staging", DIGEST), ("production", DIGEST), ("dev", "sha256:1")):
        stage.file(f"tree/terraform/environments/{environment}/image.auto.tfvars.json", f'{{"image_digest": "{digest}"}}')
    subprocess.run(["cp", "-r", TREE / "scripts", tree / "scripts"], check=True)
    assert stage.run("same-image", "staging", "production", tree=tree) == f"digest={DIGEST}\n"
    stage.run("same-image", "staging", "dev", tree=tree, expect=1)
    # Staging runs RUNNING, and the release is RELEASED.
    failing.write_text("#!/bin/sh\necho registry/rowmill@$RUNNING\n")
    (stage.folder / "bin/skopeo").write_text("#!/bin/sh\necho $RELEASED\n")
    check = ("check-promotion", "p", "r", "registry", "v1.2.3")
    assert stage.run(*check, tree=tree, RUNNING=DIGEST, RELEASED=DIGEST) == f"digest={DIGEST}\n"
    stage.run(*check, tree=tree, expect=1, RUNNING="sha256:1", RELEASED=DIGEST)
    stage.run(*check, tree=tree, expect=1, RUNNING=DIGEST, RELEASED="sha256:1")


def measures(folder):
    change = 'mkdir -p "$CARGO_TARGET_DIR/criterion/keys/change"; echo "{\\"median\\": {\\"point_estimate\\": $CHANGE}}" >"$CARGO_TARGET_DIR/criterion/keys/change/estimates.json"'
    stage = Stage(folder, git='[[ $1 == worktree && $2 == add ]] && mkdir -p "${@: -2:1}"; true', cargo=f'[[ $1 != bench ]] || {{ {change}; }}', rustup="")
    tree = stage.folder / "tree"
    tree.mkdir()
    subprocess.run(["cp", "-r", TREE / "scripts", tree / "scripts"], check=True)
    (tree / "fuzz/fuzz_targets").mkdir(parents=True)
    (tree / "fuzz/fuzz_targets/records.rs").touch()
    assert "+10.0%" in stage.run("bench-compare", "main", "keys", tree=tree, CHANGE="0.1")
    stage.run("bench-compare", "main", "keys", tree=tree, CHANGE="0.3", expect=1)
    stage.run("fuzz", "5", tree=tree)
    assert "cargo +nightly fuzz run records -- -max_total_time=5" in stage.asked()[-1], stage.asked()


for scene in (plans, releases, images, measures):
    with tempfile.TemporaryDirectory() as folder:
        scene(folder)
        print(f"{scene.__name__}: as they should")
