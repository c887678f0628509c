#!/bin/sh
# Unpacks a curl that speaks HTTP/2 to proxies (8.1 and later) into a directory: Debian's own, from its backports, where
# its stable release is older. Nothing is installed and no list of the system's is changed.
#   newer-curl.sh DIR
set -e
mkdir -p "$1" && cd "$1"
mkdir -p lists/partial cache/archives/partial
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
key=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$key] http://deb.debian.org/debian $release-backports main" > sources.list
apt() { apt-get -q -o Dir::Etc::sourcelist="$PWD/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$PWD/lists" -o Dir::Cache="$PWD/cache" "$@"; }
apt update
apt download curl libcurl4
for package in ./*.deb; do dpkg -x "$package" .; done
LD_LIBRARY_PATH=$(echo "$PWD"/usr/lib/*-linux-gnu) usr/bin/curl --version
