# What infra/up and tests/run need of the machine: Rust, a C compiler, PostgreSQL. Sourced by both.
# Installs packages of Debian and Ubuntu where it may, and says what to type where it may not.
# shellcheck shell=bash

rust_needed=1.95

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$@" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Debian's packages, when there is apt and the right to use it.
may_install() {
  [ "${TOOLMESH_NO_INSTALL:-}" != 1 ] && have apt-get && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}
install_packages() {
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  say "Installing $* with apt-get"
  ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null
  ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    </dev/null >/dev/null
}

# The folder whose toolchain counts: ensure_rust FOLDER
ensure_rust() {
  have cargo || PATH="$HOME/.cargo/bin:$PATH"
  have cargo || fail "Rust is missing. Install it, then run this again:" \
    "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
  local version
  version=$(cd "$1" && rustc --version | awk '{ print $2 }')
  if [ "$(printf '%s\n%s\n' "$rust_needed" "$version" | sort -t. -k1,1n -k2,2n | head -n 1)" != "$rust_needed" ]; then
    fail "Rust $rust_needed or newer is needed, and this is $version. Update it with: rustup update stable"
  fi
}

# Not only the compiler: its C library's headers too.
compiles_c() {
  have cc || return 1
  local dir outcome=0
  dir=$(mktemp -d)
  printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' > "$dir/probe.c"
  cc "$dir/probe.c" -o "$dir/probe" 2>/dev/null || outcome=1
  rm -rf "$dir"
  return "$outcome"
}
ensure_c_compiler() {
  compiles_c && return
  if [ "$(uname)" = Darwin ]; then
    fail "A C compiler is missing; the cryptography library is built with it. Install it with: xcode-select --install"
  fi
  if may_install; then install_packages build-essential; fi
  compiles_c || fail "A C compiler is missing; the cryptography library is built with it." \
    "Install it with: sudo apt-get install build-essential" \
    "(on Fedora: sudo dnf install gcc)"
}

# Where the program itself looks, in short; it looks again, and closer, when it starts.
finds_postgres() {
  local dir
  for dir in "${PG_BIN:-}" "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
    /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
    /Applications/Postgres.app/Contents/Versions/*/bin; do
    [ -n "$dir" ] && [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && return 0
  done
  return 1
}
ensure_postgres() {
  [ -z "${DATABASE_URL:-}" ] || return 0
  finds_postgres && return
  if may_install; then install_packages postgresql; fi
  finds_postgres && return
  if [ "$(uname)" = Darwin ]; then
    fail "PostgreSQL is missing. Install it with: brew install postgresql@17"
  fi
  fail "PostgreSQL is missing. Install it with: sudo apt-get install postgresql" \
    "(on Fedora: sudo dnf install postgresql-server), or set DATABASE_URL to a database that is there."
}
