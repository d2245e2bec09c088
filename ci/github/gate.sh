#!/usr/bin/env bash
# Runs loadgate in a GitHub job: one comment on the pull request that is written anew each time, outputs, and the exit code. The
# job's summary and the annotations loadgate writes itself.
set -uo pipefail

command=$LG_COMMAND
neutral=
if [ "${LG_FORK:-}" = true ]; then
  if [ -z "${LG_SMOKE:-}" ]; then
    echo "::notice title=loadgate::a pull request from a fork has no secrets: nothing was judged"
    exit 0
  fi
  command=$LG_SMOKE
  neutral=yes
fi

# The command is a line of shell, as a workflow's author writes one.
eval "set -- $command"
"$LG_BINARY" "$@" --out "$LG_OUT"
code=$?

report=
# With 2 nothing was begun: what is in the folder is of before.
[ "$code" = 2 ] || for name in summary.md report.md; do
  [ -z "$report" ] && [ -f "$LG_OUT/$name" ] && report=$LG_OUT/$name
done
summary=$(python3 - "$LG_OUT" "$code" <<'PYTHON'
import json, pathlib, sys
for name in () if sys.argv[2] == "2" else ("combined.json", "verdict.json"):
    path = pathlib.Path(sys.argv[1], name)
    if path.exists():
        print(" ".join(json.loads(path.read_text())["summary"].split()))
        break
else:
    print("loadgate left no verdict")
PYTHON
)
{ echo "exit-code=$code"; echo "summary=$summary"; } >>"${GITHUB_OUTPUT:-/dev/null}"

comment() {
  python3 - "$report" <<'PYTHON'
import json, os, pathlib, sys, urllib.request

api, repository = os.environ.get("GITHUB_API_URL", "https://api.github.com"), os.environ["GITHUB_REPOSITORY"]
number, token = os.environ["LG_PULL_REQUEST"], os.environ["LG_TOKEN"]
mark = f"<!-- loadgate:{os.environ['LG_KEY']} -->"
body = f"{mark}\n{pathlib.Path(sys.argv[1]).read_text()}"

def ask(method, path, value=None):
    request = urllib.request.Request(f"{api}{path}", method=method, data=value and json.dumps(value).encode())
    request.add_header("authorization", f"Bearer {token}")
    request.add_header("accept", "application/vnd.github+json")
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)

page, own = 1, None
while own is None:
    comments = ask("GET", f"/repos/{repository}/issues/{number}/comments?per_page=100&page={page}")
    own = next((c for c in comments if c["body"].startswith(mark)), None)
    if len(comments) < 100:
        break
    page += 1
if own:
    ask("PATCH", f"/repos/{repository}/issues/comments/{own['id']}", {"body": body})
else:
    ask("POST", f"/repos/{repository}/issues/{number}/comments", {"body": body})
PYTHON
}
if [ -n "$report" ] && [ -n "${LG_TOKEN:-}" ] && [ -n "${LG_PULL_REQUEST:-}" ]; then
  # A comment that cannot be written changes no verdict.
  comment || echo "::warning title=loadgate::the comment could not be written: does the job have pull-requests: write?"
fi

if [ -n "$neutral" ]; then
  [ "$code" = 0 ] || echo "::notice title=loadgate::$summary (from a fork: this fails nothing)"
  exit 0
fi
if [ "${LG_HOLD_PASSES:-false}" = true ] && { [ "$code" = 3 ] || [ "$code" = 4 ]; }; then
  echo "::warning title=loadgate::$summary"
  exit 0
fi
exit "$code"
