#!/bin/sh
# The bill of materials of what is shipped, then what is known against it and against what tests and builds use.
# The first needs no network; without one the second says so and fails: nothing was found out.
set -u
bin=$1
shift
cd "$(dirname "$0")/.." || exit 1

mkdir -p dist
PYTHONWARNINGS=ignore "$bin/cyclonedx-py" requirements requirements/runtime.txt --pyproject pyproject.toml --output-reproducible \
	--output-format JSON --output-file dist/sbom.json >/dev/null || exit 1
echo "dist/sbom.json: $(grep -c '"bom-ref": "requirements' dist/sbom.json) components"

failed=0
for lock in runtime dev build; do
	# Hashed and complete: nothing is resolved, installed or run to know what there is.
	told=$("$bin/pip-audit" --requirement "requirements/$lock.txt" --require-hashes --disable-pip \
		--progress-spinner off "$@" 2>&1) && code=0 || code=$?
	if [ "$code" -ne 0 ] && printf '%s' "$told" | grep -qE 'ConnectionError|Failed to connect|Max retries|HTTPError|ServiceError|Could not connect'; then
		echo "requirements/$lock.txt: not audited, for the vulnerability service cannot be reached:" >&2
		printf '%s\n' "$told" | tail -n 1 | cut -c 1-200 >&2
		echo "try again with a network, or name another service: make audit ARGS='-s osv'" >&2
		failed=1
	elif unknown=$(printf '%s\n' "$told" | grep -c 'could not be audited') && [ "$unknown" -gt 0 ]; then
		echo "requirements/$lock.txt: $unknown packages are unknown to the vulnerability service (an index that is a copy" >&2
		echo "tells nothing of vulnerabilities): they were not audited; name another service: make audit ARGS='-s osv'" >&2
		failed=1
	elif [ "$code" -ne 0 ]; then
		printf 'requirements/%s.txt:\n%s\n' "$lock" "$told"
		failed=1
	else
		echo "requirements/$lock.txt: $(printf '%s\n' "$told" | tail -n 1)"
	fi
done
exit "$failed"
