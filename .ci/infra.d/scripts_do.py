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
    stage = Stage(folder, gcloud="", gh='for word in "$@"; do [[ -f $word ]] && cp "$word" body; done; true')
    plan = stage.file("a.plan", "plan")
    assert stage.run("sum-of", plan) == f"sha256={sha256('plan')}\n"
    where = {"GITHUB_RUN_ID": "7", "ENVIRONMENT": "dev"}
    stage.run("keep-plan", "put", plan, "state", **where)
    stage.run("keep-plan", "get", plan, "state", **where)
    stage.run("keep-plan", "lose", plan, "state", expect=2, **where)
    assert stage.asked() == [f"gcloud storage cp --quiet {plan} gs://state/plans/7-dev.plan",
                             f"gcloud storage cp --quiet gs://state/plans/7-dev.plan {plan}",
                             "gcloud storage rm --quiet gs://state/plans/7-dev.plan"], stage.asked()
    text = stage.file("plan.txt", "Refreshing\nPlan: 3 to add, 0 to change, 0 to destroy.\n" + "x" * 70000)
    stage.run("comment-plan", "12", text)
    body = (stage.folder / "body").read_text()
    assert "<summary>Plan: 3 to add" in body and len(body) < 65536, len(body)
    assert stage.asked()[-1].startswith("gh pr comment 12 --body-file "), stage.asked()


def releases(folder):
    # `gh release download` leaves what is in `offered`.
    stage = Stage(folder, gh='[[ $2 != download ]] || cp offered/* "$5"', ansible_playbook="", pip="", gcloud="")
    stage.file("offered/rowmill-1.2.3-x86_64-linux", "binary")
    stage.file("offered/SHA256SUMS", f"{sha256('binary')}  rowmill-1.2.3-x86_64-linux\n")
    stage.run("fetch-release", "v1.2.3", "got")
    assert (stage.folder / "got/rowmill.sha256").read_text().startswith(sha256("binary"))
    stage.run("deploy-release", "staging", "v1.2.3", tree=copy_of_tree(stage))
    played = stage.asked()[-1]
    assert "inventories/staging.yml site.yml" in played and f"pipeline_service_sha256={sha256('binary')} pipeline_service_version=1.2.3" in played, played
    stage.file("offered/rowmill-1.2.3-x86_64-linux", "another binary")
    stage.run("fetch-release", "v1.2.3", "again", expect=1)
    stage.run("publish-release", "v1.2.3", "offered")
    assert stage.asked()[-1].startswith("gh release create v1.2.3 --verify-tag"), stage.asked()
    stage.run("publish-release", "v1.2.4", "offered", expect=1)
    stage.run("roll-back-hosts", "production")
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
    tree = stage.folder / "tree"
    for environment, digest in (("staging", DIGEST), ("production", DIGEST), ("dev", "sha256:1")):
        stage.file(f"tree/terraform/environments/{environment}/image.auto.tfvars.json", f'{{"image_digest": "{digest}"}}')
    subprocess.run(["cp", "-r", TREE / "scripts", tree / "scripts"], check=True)
    assert stage.run("same-image", "staging", "production", tree=tree) == f"digest={DIGEST}\n"
    stage.run("same-image", "staging", "dev", tree=tree, expect=1)


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
