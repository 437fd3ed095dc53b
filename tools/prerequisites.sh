#!/bin/sh
# Says in one line what is missing before anything is set up: Go, Python 3.10 with venv, a C compiler.
missing() {
	echo "$1" >&2
	exit 1
}
command -v "${GO:-go}" >/dev/null || missing "Go is not installed: get 1.21 or newer, see https://go.dev/dl"
# Go 1.21 and newer fetch the toolchain that go.mod names; an older one, or GOTOOLCHAIN=local, says so here.
version=$("${GO:-go}" env GOVERSION 2>&1) || missing "Go is too old for this module: get a newer one, see https://go.dev/dl ($version)"
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
	missing "Python 3.10 or newer is not installed (looked for ${PYTHON:-python3}; PYTHON=/path/to/python3 names another)"
"${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null ||
	missing "Python's venv module is incomplete: on Debian and Ubuntu run \`apt-get install python3-venv\`"
cc=$("${GO:-go}" env CC)
command -v "${cc%% *}" >/dev/null ||
	missing "no C compiler ($cc): on Debian and Ubuntu run \`apt-get install gcc libc6-dev\`, on macOS \`xcode-select --install\`"
