#!/bin/sh
# Is the tree fit to be tagged? Prints what is missing, all of it, and fails.
set -eu
cd "$(dirname "$0")/.."
bad=0
complain() {
	echo "release-check: $*"
	bad=1
}

version=$(sed -n 's/^var Product = "\(.*\)"$/\1/p' services/commandcenter/internal/version/version.go)
test -n "$version" || complain "no version in services/commandcenter/internal/version/version.go"
grep -q "^## \[\{0,1\}$version\]\{0,1\} - [0-9]\{4\}-[0-9][0-9]-[0-9][0-9]$" CHANGELOG.md ||
	complain "CHANGELOG.md has no section '## $version - <date>'"
test -z "$(sed -n '/^## \[Unreleased\]/,/^## /p' CHANGELOG.md | grep '^- ' || true)" ||
	complain "CHANGELOG.md still has lines under Unreleased"
cmp -s services/gateway/openapi.yaml services/gateway/testdata/released.yaml ||
	complain "the HTTP contract is not the recorded baseline: run make baseline"
test -f proto-events/testdata/released.binpb || complain "no baseline of the event contracts: run make baseline"
test -z "$(git status --porcelain)" || complain "uncommitted changes"
if git rev-parse -q --verify "refs/tags/v$version" >/dev/null; then
	complain "the tag v$version exists"
fi
test "$bad" = 0 && echo "release-check: v$version can be tagged"
exit "$bad"
