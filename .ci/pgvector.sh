#!/bin/sh
# pgvector.sh: builds pgvector from Debian's source package and puts it, with a
# copy of the PostgreSQL of this machine, below a directory of its own. Nothing
# of the system is changed, and nobody has to be root.
#
#   pgvector.sh DIR        afterwards: CC_PG_BIN=DIR/lib/postgresql/<major>/bin
#
# To have it in the server itself, as root: copy DIR/vector.so to `pg_config
# --pkglibdir` and DIR/vector*.sql, DIR/vector.control to `pg_config
# --sharedir`/extension; or install your distribution's package, if it has 0.8 or later.
set -eu
version=0.8.0
sum=867a2c328d4928a5a9d6f052cd3bc78c7d60228a9b914ad32aa3db88e9de27b0
url=${PGVECTOR_URL:-https://deb.debian.org/debian/pool/main/p/pgvector/pgvector_$version.orig.tar.gz}

mkdir -p "$1"
dir=$(cd "$1" && pwd)
bin=${CC_PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)}
test -n "$bin" && test -x "$bin/postgres" || { echo "pgvector.sh: no PostgreSQL as Debian lays it out; set CC_PG_BIN, or install one" >&2; exit 1; }
bin=$(cd "$bin" && pwd)
major=$(basename "$(dirname "$bin")")
root=${bin%/lib/postgresql/*}

home=$dir/lib/postgresql/$major
if test "$bin" = "$home/bin" || test "$home/lib/vector.so" -nt "$bin/postgres" && test "$home/lib/vector.so" -nt "$0"; then
	echo "pgvector $version for PostgreSQL $major: CC_PG_BIN=$home/bin"
	exit
fi

archive=$dir/pgvector_$version.orig.tar.gz
test -f "$archive" || curl -fsSL -o "$archive" "$url" || curl -fsSL -o "$archive" "http://${url#https://}"
echo "$sum  $archive" | sha256sum -c --quiet - || { rm -f "$archive"; echo "pgvector.sh: $url is not what it was" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -xzf "$archive" -C "$work"

# The headers of the server: installed, or out of their package.
headers=$root/include/postgresql/$major/server
if ! test -f "$headers/postgres.h"; then
	(cd "$work" && apt-get -o APT::Sandbox::User=root download -q "postgresql-server-dev-$major" >/dev/null && dpkg-deb -x postgresql-server-dev-*.deb dev)
	headers=$work/dev/usr/include/postgresql/$major/server
fi

cd "$work/pgvector-$version"
${CC:-cc} -O3 -march=native -ftree-vectorize -fassociative-math -fno-signed-zeros -fno-trapping-math -fPIC -shared \
	-Wl,-z,relro -I"$headers" -o "$dir/vector.so" src/*.c -lm
cp vector.control "$dir/vector.control"
cp sql/vector.sql "$dir/vector--$version.sql"

# PostgreSQL finds its files from where its binary is.
mkdir -p "$dir/lib/postgresql" "$dir/share/postgresql"
rm -rf "$home" "$dir/share/postgresql/$major"
cp -R "$root/lib/postgresql/$major" "$home"
cp -R "$root/share/postgresql/$major" "$dir/share/postgresql/$major"
cp "$dir/vector.control" "$dir/vector--$version.sql" "$dir/share/postgresql/$major/extension/"
cp "$dir/vector.so" "$home/lib/"
chmod -R a+rX "$dir"
echo "pgvector $version for PostgreSQL $major: CC_PG_BIN=$home/bin"
