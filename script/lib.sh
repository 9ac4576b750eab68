# script/lib.sh - what the scripts share; sourced, after `cd` to the project's root

say() {
	printf '\n== %s\n' "$*"
}

die() {
	printf '%s\n' "$*" >&2
	exit 1
}

# Debian's own interpreter has the packages that script/setup installs.
PYTHON=/usr/bin/python3

# build_dir DIR OPTION...: configures it once, again when the options changed, and builds nothing yet.
build_dir() {
	local dir=$1 wanted
	shift
	wanted="${CC:-cc} $*"
	if [ -f "$dir/build.ninja" ] && [ "$(cat "$dir/.options" 2>/dev/null)" = "$wanted" ]; then
		return
	fi
	rm -rf "$dir"
	meson setup "$dir" "$@" >"/tmp/meson-setup.$$" 2>&1 || {
		cat "/tmp/meson-setup.$$"
		rm -f "/tmp/meson-setup.$$"
		die "meson setup $dir failed"
	}
	rm -f "/tmp/meson-setup.$$"
	printf '%s' "$wanted" >"$dir/.options"
}

jobs_() {
	nproc
}

# build DIR: quietly; what did not compile is shown.
build() {
	local log status=0
	log=$(mktemp)
	ninja -C "$1" -j "$(jobs_)" >"$log" 2>&1 || status=$?
	[ "$status" -eq 0 ] || tail -n 60 "$log"
	rm -f "$log"
	return "$status"
}
